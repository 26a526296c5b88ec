/// Certificates as an operator may have them in files.
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratch } from './files';

const DAY_MS = 86_400_000;
/** Tags of ASN.1, in DER. */
const [INTEGER, OCTETS, BITS, OID, UTF8, UTC_TIME, SEQUENCE, SET] = [0x02, 0x04, 0x03, 0x06, 0x0c, 0x17, 0x30, 0x31];
/** In brackets by the field's number: of a certificate its version and extensions, of a general name a host. */
const [VERSION, EXTENSIONS, HOST] = [0xa0, 0xa3, 0x82];
/** Object identifiers as they are on the wire: ecdsa-with-SHA256, commonName, subjectAltName. */
const [ECDSA_SHA256, COMMON_NAME, OTHER_NAMES] = ['2a8648ce3d040302', '550403', '551d11'];

export interface CertificateFiles {
  /** For `moq relay`. */
  readonly args: readonly string[];
  /** SHA-256, 64 hexadecimal digits. */
  readonly hash: string;
}

/** One for localhost as browsers pin it, P-256 and valid for ten days, of which the last is so many days from now. */
export function makeCertificate({ endsInDays }: { readonly endsInDays: number }): CertificateFiles {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = der(SEQUENCE, oid(ECDSA_SHA256));
  const name = der(SEQUENCE, der(SET, der(SEQUENCE, oid(COMMON_NAME), der(UTF8, Buffer.from('localhost')))));
  const names = der(SEQUENCE, der(HOST, Buffer.from('localhost')));
  const content = der(
    SEQUENCE,
    der(VERSION, der(INTEGER, Buffer.from([2]))),
    der(INTEGER, Buffer.from([1])),
    algorithm,
    name,
    der(SEQUENCE, time(endsInDays - 10), time(endsInDays)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(EXTENSIONS, der(SEQUENCE, der(SEQUENCE, oid(OTHER_NAMES), der(OCTETS, names)))),
  );
  const signature = der(BITS, Buffer.from([0]), sign('sha256', content, privateKey));
  const certificate = der(SEQUENCE, content, algorithm, signature);
  const folder = scratch();
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const lines = certificate.toString('base64').replace(/.{64}/g, '$&\n');
  writeFileSync(cert, `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`);
  writeFileSync(key, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  return { args: ['--cert', cert, '--key', key], hash: createHash('sha256').update(certificate).digest('hex') };
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const { length } = Buffer.concat(parts);
  const long = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...(length < 0x80 ? [length] : long)]), ...parts]);
}

function oid(hex: string): Buffer {
  return der(OID, Buffer.from(hex, 'hex'));
}

function time(daysFromNow: number): Buffer {
  const digits = new Date(Date.now() + daysFromNow * DAY_MS).toISOString().replace(/\D/g, '');
  return der(UTC_TIME, Buffer.from(`${digits.slice(2, 14)}Z`));
}
