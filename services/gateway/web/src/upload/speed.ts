// The speed of an upload, and the time that it has left.

const WINDOW_MS = 8000;
const SETTLED_MS = 2000;

/** Measures over the last seconds, so that a pause or a faster network shows soon, and single parts do not. */
export class SpeedMeter {
  private samples: { at: number; sent: number }[] = [];

  note(at: number, sent: number): void {
    this.samples.push({ at, sent });
    while (this.samples.length > 2 && (this.samples[1]?.at ?? at) < at - WINDOW_MS) this.samples.shift();
  }

  /** Bytes per second; undefined until it can be told. */
  get speed(): number | undefined {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    if (!first || !last || last.at - first.at < SETTLED_MS) return undefined;
    const speed = (1000 * (last.sent - first.sent)) / (last.at - first.at);
    return speed > 0 ? speed : undefined;
  }

  /** Seconds until all is sent; undefined until it can be told. */
  secondsLeft(total: number): number | undefined {
    const last = this.samples.at(-1);
    return last && this.speed ? (total - last.sent) / this.speed : undefined;
  }
}
