// Which parts of a file the server has, and which are to be sent.

import type { UploadStatus } from "../api/types.ts";

/** The parts of one upload. Every part but the last has the size of a chunk. */
export class PartPlan {
  private readonly received: Set<number>;
  private readonly taken = new Set<number>();
  private readonly sending = new Map<number, number>();

  constructor(
    readonly total: number,
    readonly chunk: number,
    received: Iterable<number> = [],
  ) {
    this.received = new Set(received);
  }

  static of(status: UploadStatus): PartPlan {
    return new PartPlan(status.total_size_bytes, status.chunk_size_bytes, status.received_parts);
  }

  get count(): number {
    return Math.ceil(this.total / this.chunk);
  }

  get complete(): boolean {
    return this.received.size === this.count;
  }

  /** The bytes that the server has or that are on their way. */
  get sentBytes(): number {
    let sum = 0;
    for (const index of this.received) sum += this.size(index);
    for (const sent of this.sending.values()) sum += sent;
    return sum;
  }

  /** Parts that the server has, with which to check that a file is the same: the first, and the last. */
  get samples(): number[] {
    const sorted = [...this.received].sort((one, other) => one - other);
    return [...new Set([...sorted.slice(0, 1), ...sorted.slice(-1)])];
  }

  range(index: number): [number, number] {
    return [index * this.chunk, index * this.chunk + this.size(index)];
  }

  size(index: number): number {
    return Math.min(this.chunk, this.total - index * this.chunk);
  }

  /** Take the next part to send; undefined if none is left to take. */
  take(): number | undefined {
    for (let index = 0; index < this.count; index++) {
      if (this.received.has(index) || this.taken.has(index)) continue;
      this.taken.add(index);
      return index;
    }
    return undefined;
  }

  /** Note how much of a part has left this computer. */
  progress(index: number, sent: number): void {
    if (this.taken.has(index)) this.sending.set(index, Math.min(sent, this.size(index)));
  }

  /** The server has acknowledged a part. */
  done(index: number): void {
    this.giveBack(index);
    this.received.add(index);
  }

  /** A part could not be sent; it is taken again later. */
  giveBack(index: number): void {
    this.taken.delete(index);
    this.sending.delete(index);
  }
}
