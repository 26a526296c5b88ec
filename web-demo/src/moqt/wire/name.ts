/// Track namespaces and names: bytes on the wire, and a text form (draft section "Representing Namespace and Track Names").

import { MoqtError } from '../errors';
import type { Bytes, FullTrackName } from '../types';
import { fromUtf8, malformed, type Reader, utf8, type Writer } from './bytes';

export type NamespaceBytes = readonly Bytes[];

/** A full track name as it is on the wire. */
export interface TrackBytes {
  readonly namespace: NamespaceBytes;
  readonly name: Bytes;
}

const MAX_FIELDS = 32;
/** Bytes of all fields and the name together. */
const MAX_NAME = 4096;

export function writeNamespace(writer: Writer, namespace: NamespaceBytes): void {
  writer.varint(namespace.length);
  for (const field of namespace) writer.prefixed(field);
}

export function readNamespace(reader: Reader): NamespaceBytes {
  const count = reader.varint();
  if (count > BigInt(MAX_FIELDS)) throw malformed(`a namespace of ${count} fields`);
  const fields: Bytes[] = [];
  let total = 0;
  for (let index = 0n; index < count; index++) {
    const field = reader.prefixed('namespace field', MAX_NAME);
    if (field.length === 0) throw malformed('an empty namespace field');
    total += field.length;
    fields.push(field);
  }
  if (total > MAX_NAME) throw malformed(`a namespace of ${total} bytes`);
  return fields;
}

export function writeTrack(writer: Writer, track: TrackBytes): void {
  writeNamespace(writer, track.namespace);
  writer.prefixed(track.name);
}

export function readTrack(reader: Reader): TrackBytes {
  const namespace = readNamespace(reader);
  const name = reader.prefixed('track name', MAX_NAME);
  if (namespaceLength(namespace) + name.length > MAX_NAME) throw malformed('a full track name that is too long');
  return { namespace, name };
}

/** The wire form of what a caller named. Throws MoqtError 'usage' for what cannot be named. */
export function namespaceBytes(namespace: readonly string[]): NamespaceBytes {
  const fields = namespace.map(utf8);
  if (fields.length > MAX_FIELDS) throw new MoqtError('usage', 0, `a namespace has at most ${MAX_FIELDS} fields`);
  if (fields.some((field) => field.length === 0)) throw new MoqtError('usage', 0, 'a namespace field cannot be empty');
  if (namespaceLength(fields) > MAX_NAME) throw new MoqtError('usage', 0, 'the namespace is too long');
  return fields;
}

export function trackBytes(track: FullTrackName): TrackBytes {
  const namespace = namespaceBytes(track.namespace);
  const name = utf8(track.name);
  if (namespaceLength(namespace) + name.length > MAX_NAME) {
    throw new MoqtError('usage', 0, 'namespace and name are too long');
  }
  return { namespace, name };
}

/** The text of each field; `undefined` if one is no UTF-8, so that this interface cannot name it. */
export function namespaceText(namespace: NamespaceBytes): readonly string[] | undefined {
  const fields = namespace.map(fromUtf8);
  return fields.every((field) => field !== undefined) ? fields : undefined;
}

function namespaceLength(namespace: NamespaceBytes): number {
  return namespace.reduce((sum, field) => sum + field.length, 0);
}

/** The draft's text form: fields joined by `-`, `--` before the track name, other bytes than letters, digits and `_` as `.hh`. */
export function formatTrack(track: TrackBytes): string {
  return `${formatNamespace(track.namespace)}--${formatField(track.name)}`;
}

export function formatNamespace(namespace: NamespaceBytes): string {
  return namespace.map(formatField).join('-');
}

function formatField(field: Bytes): string {
  let text = '';
  for (const byte of field) {
    const character = String.fromCharCode(byte);
    text += /[A-Za-z0-9_]/.test(character) ? character : `.${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}

/** Reads the text form; `undefined` if it is not the one text of any name. */
export function parseTrack(text: string): TrackBytes | undefined {
  const split = text.indexOf('--');
  if (split < 0) return undefined;
  const fields = split === 0 ? [] : text.slice(0, split).split('-').map(parseField);
  const name = parseField(text.slice(split + 2));
  const namespace = fields.filter((field) => field !== undefined);
  if (!name || namespace.length !== fields.length || namespace.some((field) => field.length === 0)) return undefined;
  return { namespace, name };
}

function parseField(text: string): Bytes | undefined {
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (/[A-Za-z0-9_]/.test(character)) {
      bytes.push(character.charCodeAt(0));
      continue;
    }
    const hex = text.slice(at + 1, at + 3);
    if (character !== '.' || !/^[0-9a-f]{2}$/.test(hex)) return undefined;
    const byte = Number.parseInt(hex, 16);
    // What has a shorter form must use it, so that each name has one text.
    if (/[A-Za-z0-9_]/.test(String.fromCharCode(byte))) return undefined;
    bytes.push(byte);
    at += 2;
  }
  return Uint8Array.from(bytes);
}
