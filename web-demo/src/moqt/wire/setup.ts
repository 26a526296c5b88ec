/// SETUP: the first message of each control stream (draft section "SETUP").

import { SessionCode } from '../errors';
import type { Bytes } from '../types';
import { lossyText, malformed, Reader } from './bytes';
import type { Setup } from './message';
import { readToken, type Token } from './parameter';
import { MAX_VALUE, type Pair, writePairs } from './property';
import { MAX_VARINT } from './varint';

export const SetupOption = {
  path: 0x01n,
  token: 0x03n,
  maxTokenCacheSize: 0x04n,
  authority: 0x05n,
  implementation: 0x07n,
} as const;

const KNOWN: readonly bigint[] = Object.values(SetupOption);

/** Reads the options that fill `bytes`. */
export function readSetup(bytes: Bytes): Setup {
  const reader = new Reader(bytes);
  const known = new Map<bigint, Pair['value']>();
  const tokens: Token[] = [];
  const extensions: Pair[] = [];
  let type = 0n;
  while (reader.remaining > 0) {
    type += reader.varint();
    if (type > MAX_VARINT) throw malformed('a setup option out of range');
    const value = readValue(reader, type);
    if (type === SetupOption.token && typeof value !== 'bigint') tokens.push(setupToken(value));
    else if (!KNOWN.includes(type)) extensions.push({ type, value });
    else if (known.has(type)) throw malformed('a setup option is repeated');
    else known.set(type, value);
  }
  const path = bytesOf(known.get(SetupOption.path));
  const authority = bytesOf(known.get(SetupOption.authority));
  const implementation = bytesOf(known.get(SetupOption.implementation));
  const cache = known.get(SetupOption.maxTokenCacheSize);
  if (path && !/^([/?].*)?$/.test(uriText(path, ':@/?') ?? '!')) {
    throw malformed('PATH is not the path of a URI', SessionCode.malformedPath);
  }
  if (authority && uriText(authority, ':@[]') === undefined) {
    throw malformed('AUTHORITY is not the authority of a URI', SessionCode.malformedAuthority);
  }
  return {
    type: 'SETUP',
    ...(path && { path }),
    ...(authority && { authority }),
    tokens,
    ...(typeof cache === 'bigint' && { maxTokenCacheSize: cache }),
    ...(implementation && { implementation }),
    extensions: writePairs(extensions),
  };
}

function readValue(reader: Reader, type: bigint): Pair['value'] {
  if (!KNOWN.includes(type)) return type % 2n === 0n ? reader.varint() : reader.prefixed('setup option', MAX_VALUE);
  try {
    if (type % 2n === 0n) return reader.varint();
    const length = reader.varint();
    if (length <= BigInt(MAX_VALUE)) return reader.slice(Number(length));
  } catch {
    throw malformed('a setup option is not well formed', SessionCode.keyValueFormatting);
  }
  throw malformed('a setup option is too long');
}

function setupToken(value: Bytes): Token {
  const token = readToken(value);
  // draft "AUTHORIZATION TOKEN Parameter": no alias exists yet that could be meant.
  if (token.form === 'DELETE' || token.form === 'USE_ALIAS') throw malformed('SETUP refers to a token alias');
  return token;
}

function bytesOf(value: Pair['value'] | undefined): Bytes | undefined {
  return value instanceof Uint8Array ? value : undefined;
}

/** The text, if it has only what URIs may (unreserved, sub-delims, percent-encoded) and the characters of `extra`. */
function uriText(bytes: Bytes, extra: string): string | undefined {
  const text = lossyText(bytes);
  const plain = text.replaceAll(/%[0-9A-Fa-f]{2}/g, '');
  const legal = (character: string) => /[A-Za-z0-9\-._~!$&'()*+,;=]/.test(character) || extra.includes(character);
  return [...plain].every(legal) ? text : undefined;
}
