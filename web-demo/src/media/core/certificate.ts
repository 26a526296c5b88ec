/// What is wrong with a relay's certificate, from what the relay itself tells of it: to a page, a browser says only that
/// it could not connect. Pure.

/// Seconds since 1970 beyond which JavaScript has no dates.
const LAST = 8.64e12;

/// A sentence for the viewer, or undefined if the certificate is as it should be or `told` is no answer of
/// `/api/v1/certificate`. `named` are the hashes that the page was given, `now` is in milliseconds since 1970.
export function certificateTrouble(told: unknown, named: readonly string[], now: number): string | undefined {
  const { sha256, not_before, not_after } = (typeof told === 'object' && told !== null ? told : {}) as Told;
  if (!isTime(not_before) || !isTime(not_after)) {
    return undefined;
  }
  if (now > not_after * 1000) {
    const over = `The relay’s certificate expired on ${dateOf(not_after)}, so the browser does not connect to it.`;
    return `${over} Whoever runs the relay has to renew it, unless the clock of this device is wrong.`;
  }
  if (now < not_before * 1000) {
    const early = `The relay’s certificate is not valid before ${dateOf(not_before)}`;
    return `${early}: the clock of this device or that of the relay is wrong.`;
  }
  if (named.length > 0 && typeof sha256 === 'string' && !named.includes(sha256)) {
    return 'The relay has another certificate than the address of this page names: the link is old, or somebody else answers here.';
  }
  return undefined;
}

interface Told {
  readonly sha256?: unknown;
  readonly not_before?: unknown;
  readonly not_after?: unknown;
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= LAST;
}

function dateOf(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
