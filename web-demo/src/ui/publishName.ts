/// Names of broadcasts: a readable one to begin with, and what a name must be to stand in an address.

const FIRST = [
  'amber',
  'brisk',
  'calm',
  'dawn',
  'eager',
  'fern',
  'gold',
  'hazel',
  'ivory',
  'jade',
  'keen',
  'lunar',
  'misty',
  'noble',
  'opal',
  'quiet',
];
const SECOND = [
  'brook',
  'creek',
  'delta',
  'falls',
  'ford',
  'geyser',
  'lake',
  'marsh',
  'otter',
  'pond',
  'rapids',
  'reed',
  'river',
  'spring',
  'stream',
  'trout',
];

/** Such as `live/misty-otter-42`. `random` gives numbers from 0 to below 1. */
export function randomName(random: () => number): string {
  const pick = (list: readonly string[]) => list[Math.floor(random() * list.length)] ?? '';
  return `live/${pick(FIRST)}-${pick(SECOND)}-${10 + Math.floor(random() * 90)}`;
}

/** The namespace of a name, field by field, or words on what is wrong with it. */
export function namespaceOf(name: string): { readonly fields: readonly string[] } | { readonly problem: string } {
  const fields = name
    .trim()
    .replace(/^\/+|\/+$/g, '')
    .split('/');
  if (fields.some((field) => field === ''))
    return { problem: 'The name is empty, or has an empty part between two “/”.' };
  if (fields[0] === '-') return { problem: 'Names that begin with “-/” belong to the relay’s own pages.' };
  if (fields.some((field) => field === '.' || field === '..'))
    return { problem: 'A part of the name may not be “.” or “..”.' };
  if (fields.length > 32) return { problem: 'The name has more than 32 parts.' };
  if (new TextEncoder().encode(fields.join('')).length > 1024) return { problem: 'The name is too long.' };
  return { fields };
}

/** The page where viewers watch the broadcast. `hash` is the fragment that names a certificate, or empty. */
export function viewerUrl(origin: string, fields: readonly string[], hash: string): string {
  return `${origin}/${fields.map(encodeURIComponent).join('/')}${hash}`;
}
