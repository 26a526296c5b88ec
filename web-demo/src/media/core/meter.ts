/// Sums over the last seconds: bits per second, frames per second. Pure; times in microseconds.

const SPAN = 3_000_000;
const SLOT = 250_000;

export class Meter {
  #slots: { start: number; sum: number }[] = [];
  #since: number | undefined;

  add(now: number, amount: number): void {
    this.#since ??= now;
    const last = this.#slots.at(-1);
    if (last !== undefined && now - last.start < SLOT) {
      last.sum += amount;
    } else {
      this.#slots.push({ start: now, sum: amount });
    }
    this.#forget(now);
  }

  /// Per second.
  rate(now: number): number {
    this.#forget(now);
    const span = Math.min(SPAN, now - (this.#since ?? now));
    const sum = this.#slots.reduce((total, slot) => total + slot.sum, 0);
    return span < SLOT ? 0 : (sum * 1e6) / span;
  }

  #forget(now: number): void {
    while ((this.#slots[0]?.start ?? now) < now - SPAN) {
      this.#slots.shift();
    }
  }
}
