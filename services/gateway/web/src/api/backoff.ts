/** How long to wait before the next try: longer each time, until something has worked. */
export class Backoff {
  private next: number;

  constructor(
    private readonly firstMs: number,
    private readonly maxMs: number,
  ) {
    this.next = firstMs;
  }

  /** Return how long to wait now. */
  wait(): number {
    const ms = this.next;
    this.next = Math.min(2 * this.next, this.maxMs);
    return ms;
  }

  reset(): void {
    this.next = this.firstMs;
  }
}
