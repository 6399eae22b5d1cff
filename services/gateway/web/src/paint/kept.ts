// What was painted on jobs and no job has learned yet: it stays while the visitor looks at other pages, and while the
// page is loaded again, for as long as the tab is open.

import type { Strokes } from "./strokes.ts";

export interface KeptStrokes {
  strokes: Strokes;
  /** What undoing leads back to, the last step at the end. */
  done: readonly Strokes[];
  label: number;
  radius: number;
  live: boolean;
}

export type TextStorage = Pick<Storage, "getItem" | "setItem" | "removeItem">;

const KEY = "cryomamba.strokes";
const JOBS_MAX = 8;
/** Of the text that is stored; a tab has about five million. */
const LENGTH_MAX = 500_000;

export class KeptPainting {
  private readonly strokes = new Map<string, KeptStrokes>();
  private readonly toPaintOn = new Set<string>();
  private storage: TextStorage | null = null;

  /** Keep it in a storage as well, and take what is there. */
  keepIn(storage: TextStorage): void {
    this.storage = storage;
    try {
      const found = JSON.parse(storage.getItem(KEY) ?? "{}") as { strokes?: [string, KeptStrokes][]; toPaintOn?: string[] };
      for (const [jobId, kept] of found.strokes ?? []) this.strokes.set(jobId, kept);
      for (const jobId of found.toPaintOn ?? []) this.toPaintOn.add(jobId);
    } catch {
      // What another version has written is no loss.
    }
  }

  of(jobId: string): KeptStrokes | undefined {
    return this.strokes.get(jobId);
  }

  put(jobId: string, kept: KeptStrokes): void {
    this.strokes.delete(jobId);
    this.strokes.set(jobId, kept);
    for (const oldest of this.strokes.keys()) if (this.strokes.size > JOBS_MAX) this.strokes.delete(oldest);
    this.store();
  }

  drop(jobId: string): void {
    if (this.strokes.delete(jobId)) this.store();
  }

  /** A job was started only to paint on. */
  begin(jobId: string): void {
    this.toPaintOn.add(jobId);
    this.store();
  }

  isToPaintOn(jobId: string): boolean {
    return this.toPaintOn.has(jobId);
  }

  /** Another job has learned from the strokes; returns whether this one was there only for them. */
  end(jobId: string): boolean {
    const was = this.toPaintOn.delete(jobId);
    if (was) this.store();
    return was;
  }

  clear(): void {
    this.strokes.clear();
    this.toPaintOn.clear();
    this.store();
  }

  private store(): void {
    try {
      this.storage?.setItem(KEY, this.text());
    } catch {
      // Without storage it lasts until the page is loaded again.
    }
  }

  /** As a text of bounded length: without the steps to undo if it has to be, then without the oldest jobs. */
  private text(): string {
    let strokes = [...this.strokes];
    const written = () => JSON.stringify({ strokes, toPaintOn: [...this.toPaintOn].slice(-JOBS_MAX) });
    if (written().length > LENGTH_MAX) strokes = strokes.map(([jobId, kept]) => [jobId, { ...kept, done: kept.done.slice(-1) }]);
    while (strokes.length > 1 && written().length > LENGTH_MAX) strokes.shift();
    return written();
  }
}

export const painting = new KeptPainting();
