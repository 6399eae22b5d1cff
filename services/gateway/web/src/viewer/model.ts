// What the viewer shows of a job: where its volumes come from, and how the visitor wants to see them.

import { type ReadonlySignal, type Signal, batch, computed, signal } from "@preact/signals";
import { type Frame, decodeFrame, parseFrame } from "../api/frames.ts";
import { jobVolumes, newestFrame, request, setFocus } from "../api/client.ts";
import { ApiError, errorText } from "../api/errors.ts";
import { type Artifact, type Job, type JobVolumes, type Triple, isFinal } from "../api/types.ts";
import type { Statistics } from "../job/statistics.ts";
import { ChunkStore } from "./chunk-store.ts";
import { type Axis, type Camera, type Grid, clamp } from "./geometry.ts";
import { Painter } from "../paint/painter.ts";
import { PIXELS } from "../paint/strokes.ts";
import { keepView, restoreView } from "./kept-view.ts";
import type { MaskStyle } from "./overlay.ts";
import { NOTHING, PREVIEW } from "./layers.ts";
import { type Rgb, labelColour } from "./palette.ts";
import { type Picks, parsePicks } from "./picks.ts";
import { type Limits, autoLimits } from "./tone.ts";
import { type RootDocument, type ZarrImage, chunkBytes, decodeChunk, parseHierarchy } from "./zarr.ts";

export type LargeView = Axis | "3d";

const RETRY_MS = 2000;
const PARALLEL = 8;
const FOCUS_DELAY_MS = 400;
// A phone gives a tab a few hundred megabytes; what is not kept is fetched again, mostly from the browser's own cache.
const MEMORY_MB = 64 * Math.min((navigator as { deviceMemory?: number }).deviceMemory ?? 4, 8);

export interface LabelLook {
  colour: Rgb;
  hidden: boolean;
}

export class ViewerModel {
  readonly grid: Grid;
  readonly store: ChunkStore;

  // What there is.
  readonly volumes = signal<JobVolumes | null>(null);
  readonly images = signal<ReadonlyMap<string, ZarrImage>>(new Map());
  readonly frame = signal<Frame | null>(null);
  readonly picks = signal<Picks | null>(null);
  readonly problem = signal("");
  /** Grows with each chunk that arrives. */
  readonly arrivals = signal(0);

  // How it is shown.
  readonly position: Signal<Triple>;
  /** One for each axis; null shows the whole section. */
  readonly cameras: readonly Signal<Camera | null>[] = [signal(null), signal(null), signal(null)];
  readonly large = signal<LargeView>(0);
  /** Whether the viewer covers the whole page. */
  readonly full = signal(false);
  /** For each axis, whether its section is made of a sample of the voxels. */
  readonly sampled: readonly Signal<boolean>[] = [signal(false), signal(false), signal(false)];
  readonly chosenLimits = signal<Limits | null>(null);
  readonly invert = signal(false);
  readonly slab = signal(1);
  /** Of the low-pass filter, in voxels of full resolution. */
  readonly sigma = signal(0);
  readonly smoothPixels = signal(true);
  readonly chosenLayer = signal<string | null>(null);
  readonly opacity = signal(0.8);
  readonly style = signal<MaskStyle>("both");
  readonly looks = signal<ReadonlyMap<number, LabelLook>>(new Map());
  /** Scores from this one on are shown as the mask; null shows the mask itself. */
  readonly threshold = signal<number | null>(null);
  readonly showUncertainty = signal(false);
  readonly uncertaintyOpacity = signal(0.8);
  readonly showPicks = signal(true);
  readonly pickRadius: Signal<number>;
  readonly showCrosshair = signal(true);
  /** Densities of the section in the large view, when all of it is there. */
  readonly sectionValues = signal<Float32Array | null>(null);
  readonly painter: Painter;
  /** The voxel under the pointer, and the axis of the section that it is in. */
  readonly pointer = signal<{ voxel: Triple; axis: Axis } | null>(null);

  readonly tomogram: ReadonlySignal<ZarrImage | null> = computed(() => this.images.value.get("") ?? null);
  readonly scores: ReadonlySignal<ZarrImage | null> = computed(() => this.images.value.get("scores") ?? null);
  readonly uncertainty: ReadonlySignal<ZarrImage | null> = computed(() => this.images.value.get("uncertainty") ?? null);
  /** Masks that are files, the newest revision of the mask first. */
  readonly masks: ReadonlySignal<ZarrImage[]> = computed(() =>
    [...this.images.value.values()]
      .filter(({ path }) => path.startsWith("labels/"))
      .sort((one, other) => maskRank(one.path) - maskRank(other.path)),
  );
  /** Path of the mask that is shown, or PREVIEW, or NOTHING. */
  readonly layer: ReadonlySignal<string> = computed(() => {
    const chosen = this.chosenLayer.value;
    if (chosen === NOTHING || (chosen && (chosen === PREVIEW || this.images.value.has(chosen)))) return chosen;
    return this.masks.value[0]?.path ?? PREVIEW;
  });
  readonly fileLimits: ReadonlySignal<Limits | null> = computed(() => {
    const found = this.volumes.value?.volumes.find(({ kind }) => kind === "tomogram")?.contrast_limits;
    return found ? { low: found[0], high: found[1] } : null;
  });
  /** Limits for sections that were averaged or smoothed, which have a narrower range than the file. */
  private readonly sectionLimits: ReadonlySignal<Limits | null> = computed(() => {
    const changed = this.slab.value > 1 || this.sigma.value > 0;
    const values = changed ? this.sectionValues.value : null;
    return values && autoLimits(values);
  });
  readonly automatic: ReadonlySignal<Limits | null> = computed(() => this.sectionLimits.value ?? this.fileLimits.value);
  readonly limits: ReadonlySignal<Limits> = computed(
    () => this.chosenLimits.value ?? this.automatic.value ?? { low: 0, high: 1 },
  );
  /** Names of labels by number, as the engine gave them; the server does not keep a preview for ever. */
  readonly names: ReadonlySignal<ReadonlyMap<number, string>> = computed(() => {
    const { labels } = this.frame.value ?? {};
    return labels ? new Map(Object.entries(labels).map(([number, name]) => [Number(number), name])) : this.measured.value;
  });
  private readonly measured = signal<ReadonlyMap<number, string>>(new Map());

  private readonly abort = new AbortController();
  private prefix = "";
  private loaded = "";
  private focusTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly job: ReadonlySignal<Job>) {
    const { shape, voxel_size_A: voxelSize } = job.peek().volume;
    this.grid = { shape, voxelSize };
    this.position = signal(shape.map((side) => Math.floor(side / 2)) as unknown as Triple);
    this.painter = new Painter(job, this.position, (jobId) => keepView(jobId, this));
    // The mask of a job that is there to paint on is not what is looked for.
    if (this.painter.on.peek() && job.peek().engine !== PIXELS) this.chosenLayer.value = NOTHING;
    restoreView(this);
    const diameter = Number(job.peek().params.diameter_A);
    this.pickRadius = signal(diameter > 0 ? diameter / 2 : 5 * Math.max(...voxelSize));
    this.store = new ChunkStore(
      { load: (key, aborted) => this.loadChunk(key, aborted), retryMs: (error) => this.onLoadError(error) },
      { maxBytes: MEMORY_MB * 2 ** 20, parallel: PARALLEL },
    );
    this.store.onChange(() => {
      this.arrivals.value++;
    });
  }

  close(): void {
    this.abort.abort();
    clearTimeout(this.focusTimer);
    this.painter.close();
    this.store.close();
  }

  /** Show a new preview. */
  onFrame(frame: Frame): void {
    this.frame.value = frame;
  }

  /** Load what there is of the job as it is now; does nothing if that has not changed. */
  async load(): Promise<void> {
    const job = this.job.peek();
    const state = [job.state, ...job.artifacts.map(({ name }) => name)].join();
    if (state === this.loaded) return;
    this.loaded = state;
    try {
      await Promise.all([this.loadVolumes(state), this.loadPicks(job.artifacts), this.loadPreview(job)]);
    } catch (error) {
      if (this.abort.signal.aborted) return;
      this.loaded = "";
      this.problem.value = errorText(error);
      const wait = retryMs(error);
      if (wait !== null) setTimeout(() => void this.load(), wait);
    }
  }

  private async loadVolumes(state: string): Promise<void> {
    const volumes = await jobVolumes(this.job.peek().job_id, this.abort.signal);
    let images: ReadonlyMap<string, ZarrImage> = new Map();
    if (volumes.volumes.length > 0) {
      const response = await request(`${volumes.zarr.v0_5}/zarr.json`, { signal: this.abort.signal });
      images = parseHierarchy((await response.json()) as RootDocument);
    }
    // The answer for an earlier state may come after that for a later one.
    if (state !== this.loaded) return;
    this.prefix = volumes.zarr.v0_5;
    batch(() => {
      this.volumes.value = volumes;
      this.images.value = images;
      this.problem.value = "";
    });
  }

  private async loadPicks(artifacts: readonly Artifact[]): Promise<void> {
    const table = artifacts.find(({ name }) => name === "picks.csv");
    if (!table || this.picks.peek()) return;
    this.picks.value = parsePicks(await (await request(table.url, { signal: this.abort.signal })).text());
  }

  /** The newest preview of a job that has ended: it has the names of labels, and may be all that there is. */
  private async loadPreview(job: Job): Promise<void> {
    if (!isFinal(job.state)) return;
    const found = await newestFrame(job.job_id, this.abort.signal);
    if (found) this.frame.value = await decodeFrame(parseFrame(found));
    else await this.loadNames(job.artifacts);
  }

  private async loadNames(artifacts: readonly Artifact[]): Promise<void> {
    const file = artifacts.find(({ name }) => name === "stats.json");
    if (!file) return;
    const { labels } = (await (await request(file.url, { signal: this.abort.signal })).json()) as Pick<Statistics, "labels">;
    this.measured.value = new Map(labels.map(({ label, name }) => [label, name]));
  }

  private async loadChunk(key: string, aborted: AbortSignal) {
    const level = this.levelOf(key);
    const response = await request(`${this.prefix}/${key}`, { signal: aborted });
    return decodeChunk(level, await response.arrayBuffer());
  }

  /** Return how long to wait before asking again for a part of a volume; if that is of no use, say why. */
  onLoadError(error: unknown): number | null {
    const wait = retryMs(error);
    if (wait === null) this.problem.value = errorText(error);
    return wait;
  }

  private levelOf(key: string) {
    const path = key.replace(/\/c\/.*/, "");
    for (const image of this.images.peek().values()) {
      const level = image.levels.find((one) => one.path === path);
      if (level) return level;
    }
    throw new Error(`There is no array ${path}.`);
  }

  /** Move the crosshair; a running job computes what is near to it first. */
  moveTo(position: Triple): void {
    const { shape } = this.grid;
    this.position.value = position.map((at, axis) => clamp(Math.floor(at), 0, shape[axis]! - 1)) as unknown as Triple;
    clearTimeout(this.focusTimer);
    if (isFinal(this.job.peek().state)) return;
    this.focusTimer = setTimeout(() => {
      // Whoever may only read cannot steer the job, and loses nothing by it.
      setFocus(this.job.peek().job_id, this.position.peek()).catch(() => {});
    }, FOCUS_DELAY_MS);
  }

  /** Move along one axis. */
  moveAlong(axis: Axis, by: number): void {
    const position = [...this.position.peek()] as [number, number, number];
    position[axis] += by;
    this.moveTo(position);
  }

  /** The magnification at which a voxel is a pixel of the screen, in CSS pixels per ångström. */
  actualPixels(density: number): number {
    return 1 / (Math.min(...this.grid.voxelSize) * density);
  }

  /** Hide the mask, or show again what was hidden. */
  toggleMask(): void {
    this.chosenLayer.value = this.layer.peek() === NOTHING ? null : NOTHING;
  }

  look(label: number): LabelLook {
    return this.looks.value.get(label) ?? { colour: this.painter.colourOf(label) ?? labelColour(label), hidden: false };
  }

  setLook(label: number, look: LabelLook): void {
    this.looks.value = new Map(this.looks.peek()).set(label, look);
  }

  /** Choose limits from what is known of the volume. */
  automaticLimits(): void {
    this.chosenLimits.value = null;
  }
}

function retryMs(error: unknown): number | null {
  if (!(error instanceof ApiError)) return null;
  if (error.status === 0 || error.status === 429 || error.status >= 500) return 1000 * (error.retryAfterS ?? RETRY_MS / 1000);
  return null;
}

/** The mask in its newest revision first, then what was derived from it. */
function maskRank(path: string): number {
  const [, name, revision] = /^labels\/(.*?)(?:_r(\d+))?$/.exec(path)!;
  return name === "mask" ? -Number(revision ?? 0) : 1;
}

/** A level of which so many chunks fit into a part of the memory that sections stay while one looks at them. */
export function affordable(levels: ZarrImage["levels"], chosen: number, chunks: (level: number) => number, maxBytes: number): number {
  let level = chosen;
  while (level + 1 < levels.length && chunks(level) * chunkBytes(levels[level]!) > maxBytes / 3) level++;
  return level;
}
