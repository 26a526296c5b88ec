/// What a page says of a certificate that the browser does not take.
import { expect, test } from 'vitest';
import { certificateTrouble } from '../../../src/media/core/certificate';

const HASH = 'ab'.repeat(32);
const TOLD = { sha256: HASH, not_before: 1_790_000_000, not_after: 1_790_003_600 };
const at = (seconds: number, named: readonly string[] = []) => certificateTrouble(TOLD, named, seconds * 1000);

test('a certificate that holds is no trouble', () => {
  expect(at(1_790_000_000)).toBeUndefined();
  expect(at(1_790_003_600, ['cd'.repeat(32), HASH])).toBeUndefined();
});

test('the end, the beginning and another hash each have their words', () => {
  expect(at(1_790_003_601)).toMatch(/expired on 2026-09-21 15:13 UTC, .+ has to renew it/);
  expect(at(1_789_999_999)).toMatch(/not valid before 2026-09-21 14:13 UTC: the clock/);
  expect(at(1_790_000_001, ['cd'.repeat(32)])).toMatch(/another certificate than the address of this page names/);
});

test.each([
  [null],
  ['expired'],
  [[]],
  [{}],
  [{ not_before: 0, not_after: 'never' }],
  [{ not_before: -1, not_after: 1 }],
  [{ not_before: 0, not_after: 1e300 }],
])('an answer that is none gives no words: %j', (told) => {
  expect(certificateTrouble(told, [HASH], 1_790_000_000_000)).toBeUndefined();
});
