// Chunks in memory with a bound on their bytes, and the queue of those that views are waiting for.

import type { Voxels } from "./zarr.ts";

export interface ChunkLoader {
  load(key: string, signal: AbortSignal): Promise<Voxels>;
  /** How long to wait before asking again for a chunk that was not loaded; null if that is of no use. */
  retryMs(error: unknown): number | null;
}

export interface ChunkStoreOptions {
  maxBytes: number;
  /** Requests at a time. */
  parallel: number;
}

/**
 * Chunks by key. Each view says which chunks it wants, in order; requests for chunks that no view wants any more are
 * cancelled. The chunks used longest ago make room.
 */
export class ChunkStore {
  /** Bytes of the chunks in memory. */
  bytes = 0;
  /** Grows with every chunk that arrives. */
  version = 0;
  private readonly chunks = new Map<string, Voxels>();
  private readonly failed = new Map<string, unknown>();
  private readonly wanted = new Map<unknown, readonly string[]>();
  private readonly loading = new Map<string, AbortController>();
  private readonly listeners = new Set<() => void>();
  private pausedUntil = 0;
  private closed = false;

  constructor(
    private readonly loader: ChunkLoader,
    private readonly options: ChunkStoreOptions,
  ) {}

  get maxBytes(): number {
    return this.options.maxBytes;
  }

  /** Return a chunk, or nothing if it is not in memory. */
  get(key: string): Voxels | undefined {
    const found = this.chunks.get(key);
    if (found) {
      this.chunks.delete(key);
      this.chunks.set(key, found);
    }
    return found;
  }

  /** Why a chunk cannot be loaded, if it cannot. */
  problem(key: string): unknown {
    return this.failed.get(key);
  }

  /** State which chunks a view needs, the most important first; this replaces what it has stated before. */
  want(owner: unknown, keys: readonly string[]): void {
    if (keys.length > 0) this.wanted.set(owner, keys);
    else this.wanted.delete(owner);
    const all = new Set([...this.wanted.values()].flat());
    for (const [key, controller] of this.loading) if (!all.has(key)) controller.abort();
    this.loadNext();
  }

  /** Call a function when chunks have arrived; the returned function ends that. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** End all requests and free the memory. */
  close(): void {
    this.closed = true;
    this.wanted.clear();
    for (const controller of this.loading.values()) controller.abort();
    this.chunks.clear();
    this.bytes = 0;
  }

  private loadNext(): void {
    if (this.closed || performance.now() < this.pausedUntil) return;
    for (const key of this.queue()) {
      if (this.loading.size >= this.options.parallel) return;
      void this.load(key);
    }
  }

  /** Views take turns, so that none waits for all that another one wants. */
  private *queue(): Generator<string> {
    const lists = [...this.wanted.values()];
    const longest = Math.max(0, ...lists.map((keys) => keys.length));
    for (let n = 0; n < longest; n++) {
      for (const keys of lists) {
        const key = keys[n];
        if (key !== undefined && !this.chunks.has(key) && !this.loading.has(key) && !this.failed.has(key)) yield key;
      }
    }
  }

  private async load(key: string): Promise<void> {
    const controller = new AbortController();
    this.loading.set(key, controller);
    try {
      const chunk = await this.loader.load(key, controller.signal);
      if (!this.closed) this.put(key, chunk);
    } catch (error) {
      if (!controller.signal.aborted) this.fail(key, error);
    } finally {
      this.loading.delete(key);
      this.loadNext();
    }
    if (!this.closed && !controller.signal.aborted) this.notify();
  }

  private put(key: string, chunk: Voxels): void {
    this.chunks.set(key, chunk);
    this.bytes += chunk.byteLength;
    this.version++;
    for (const [oldest, content] of this.chunks) {
      if (this.bytes <= this.options.maxBytes || oldest === key) break;
      this.chunks.delete(oldest);
      this.bytes -= content.byteLength;
    }
  }

  private fail(key: string, error: unknown): void {
    const wait = this.loader.retryMs(error);
    if (wait === null) {
      this.failed.set(key, error);
      return;
    }
    this.pausedUntil = performance.now() + wait;
    setTimeout(() => this.loadNext(), wait + 1);
  }

  private notify(): void {
    for (const listener of this.listeners) listener();
  }
}
