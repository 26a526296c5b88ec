/// How often the relay is asked: each second, and less often while it does not answer.

const USUAL_MS = 1_000;
const LONGEST_MS = 30_000;

/** How long to wait for the next question after so many failures in a row. */
export function pause(failures: number): number {
  return Math.min(LONGEST_MS, USUAL_MS * 2 ** Math.min(failures, 10));
}

/** Why there is no picture, in words for the page. */
export function reason(status: number | undefined, body: string): string {
  if (status === undefined) return 'The relay does not answer. Asking again.';
  if (status === 404 && body.includes('in no mesh')) return 'This relay is in no mesh, so there is no overlay to see.';
  if (status === 404) return 'This relay does not show its mesh. Its operator can: moq relay --public-overlay.';
  if (status === 503) return 'The relay has too many questions to answer. Asking again.';
  return `The relay answers ${status}. Asking again.`;
}
