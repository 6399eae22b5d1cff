// Sections of tomograms that are too large to bin: the server's images, which it makes of the rows of one section alone.

import { request } from "../api/client.ts";
import type { Triple, Volume } from "../api/types.ts";
import { type Axis, planeAxes } from "./geometry.ts";
import type { Section, SectionRequest } from "./section.ts";
import type { Limits } from "./tone.ts";
import type { ZarrImage } from "./zarr.ts";

// Coarser levels of larger volumes take seconds to make.
const VOXELS_MAX = 2 ** 27;
const SIDE_MIN = 16;
const SIDE_MAX = 4096;
// After which a sample is asked for again.
const SAMPLE_MS = 2000;
// A longer step is a jump.
const SCROLL_MAX = 16;
// A byte each; a section for a screen has one or two million.
const KEPT_PIXELS = 16 * 2 ** 20;

export function isLarge({ levels }: ZarrImage): boolean {
  const [depth, height, width] = levels[0]!.shape;
  return depth * height * width > VOXELS_MAX;
}

export interface SliceQuery {
  volume: Volume;
  axis: Axis;
  index: number;
  thickness: number;
  /** Voxels of full resolution for each pixel. */
  factor: number;
  /** Densities that become black and white; what is outside of them is lost. */
  limits: Limits;
}

/** Where the image is. */
export function sliceUrl({ volume, axis, index, thickness, factor, limits }: SliceQuery): string {
  const { down, right } = planeAxes(axis);
  const longest = Math.max(volume.shape[down], volume.shape[right]);
  const size = Math.min(Math.max(Math.ceil(longest / factor), SIDE_MIN), SIDE_MAX);
  const query = { axis: "zyx"[axis]!, index, thickness, size, low: limits.low, high: limits.high };
  return `${volume.slice_url}?${new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]))}`;
}

/** An image of a section. */
export interface LoadedSlice {
  /** Black is `limits.low`, white is `limits.high`. */
  greys: Uint8Array;
  limits: Limits;
  request: SectionRequest;
  /** Whether it is made of a sample, because the coarser levels of the volume are not there yet. */
  sampled: boolean;
}

/** Load an image. */
export async function loadSlice(query: SliceQuery, signal: AbortSignal): Promise<LoadedSlice> {
  const response = await request(sliceUrl(query), { signal });
  const image = await createImageBitmap(await response.blob());
  const { width, height } = image;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(image, 0, 0);
  image.close();
  const pixels = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
  const greys = new Uint8Array(width * height);
  for (let n = 0; n < greys.length; n++) greys[n] = pixels[n]!;
  const sampled = response.headers.get("CryoMamba-Sampled") === "?1";
  return { greys, limits: query.limits, request: wholeRequest(query, width, height), sampled };
}

/** Return the densities of an image. */
export function sliceDensities({ greys, limits, request }: LoadedSlice): Section<Float32Array> {
  const { low, high } = limits;
  const densities = Float32Array.from({ length: 256 }, (_, grey) => low + (grey / 255) * (high - low));
  const values = new Float32Array(greys.length);
  for (let n = 0; n < values.length; n++) values[n] = densities[greys[n]!]!;
  return { values, width: request.window.right[1], height: request.window.down[1], complete: true };
}

/** An image of a whole section as a level of its own. */
export function wholeRequest({ volume, axis, index }: SliceQuery, width: number, height: number): SectionRequest {
  const { down, right } = planeAxes(axis);
  const shape: [number, number, number] = [1, 1, 1];
  const factors: [number, number, number] = [1, 1, 1];
  [shape[down], shape[right]] = [height, width];
  [factors[down], factors[right]] = [volume.shape[down] / height, volume.shape[right] / width];
  const level = { path: "slice", shape: shape as Triple, chunkShape: shape as Triple, dtype: "float32", gzip: false, factors } as const;
  return { level, axis, planes: [index, index], window: { down: [0, height], right: [0, width] } };
}

/** The section that scrolling on in the same way leads to; after a jump the next one; null at the end of the volume. */
export function sectionAhead(query: SliceQuery, before: SliceQuery | null): SliceQuery | null {
  const step = before?.axis === query.axis ? query.index - before.index : 1;
  const index = query.index + (step !== 0 && Math.abs(step) <= SCROLL_MAX ? step : 1);
  return index < 0 || index >= query.volume.shape[query.axis] ? null : { ...query, index };
}

export interface SliceLoading {
  load(query: SliceQuery, signal: AbortSignal): Promise<LoadedSlice>;
  onLoaded(): void;
  /** How long to wait before asking again for an image that was not loaded; null if that is of no use. */
  retryMs(error: unknown): number | null;
}

/**
 * Loads the image that is wanted last, and then the one ahead of it, so that scrolling does not wait; others are
 * cancelled. The images used longest ago make room.
 */
export class SliceLoader {
  /** The image that was wanted last of those that are loaded, and what it is of. */
  loaded: { key: string; slice: LoadedSlice } | null = null;
  private readonly kept = new Map<string, LoadedSlice>();
  private readonly loading = new Map<string, AbortController>();
  private query: SliceQuery | null = null;
  private wanted = "";
  private ahead: SliceQuery | null = null;

  constructor(private readonly loader: SliceLoading) {}

  want(query: SliceQuery): void {
    const key = sliceUrl(query);
    if (key === this.wanted) return;
    this.ahead = sectionAhead(query, this.query);
    this.query = query;
    this.wanted = key;
    for (const other of this.loading.keys()) if (other !== key) this.cancel(other);
    if (!this.show(key) && !this.loading.has(key)) void this.load(key, query);
  }

  close(): void {
    this.wanted = "";
    for (const key of this.loading.keys()) this.cancel(key);
  }

  private cancel(key: string): void {
    this.loading.get(key)?.abort();
    this.loading.delete(key);
  }

  /** Show an image if it is there and wanted, and load the one ahead. */
  private show(key: string): boolean {
    const slice = this.kept.get(key);
    if (!slice || key !== this.wanted) return false;
    this.kept.delete(key);
    this.kept.set(key, slice);
    this.loaded = { key: slice.sampled ? `${key} sample` : key, slice };
    if (slice.sampled) setTimeout(() => this.loadAgain(key), SAMPLE_MS);
    const next = this.ahead && sliceUrl(this.ahead);
    if (this.ahead && next && !this.kept.has(next) && !this.loading.has(next)) void this.load(next, this.ahead);
    return true;
  }

  private loadAgain(key: string): void {
    if (key === this.wanted && this.query && !this.loading.has(key)) void this.load(key, this.query);
  }

  private async load(key: string, query: SliceQuery): Promise<void> {
    const controller = new AbortController();
    this.loading.set(key, controller);
    try {
      const slice = await this.loader.load(query, controller.signal);
      if (controller.signal.aborted) return;
      this.loading.delete(key);
      this.keep(key, slice);
      if (this.show(key)) this.loader.onLoaded();
    } catch (error) {
      if (controller.signal.aborted) return;
      this.loading.delete(key);
      // The one ahead is asked for again once it is wanted.
      if (key !== this.wanted) return;
      const wait = this.loader.retryMs(error);
      if (wait !== null) setTimeout(() => key === this.wanted && void this.load(key, query), wait);
    }
  }

  private keep(key: string, slice: LoadedSlice): void {
    this.kept.set(key, slice);
    let pixels = 0;
    for (const { greys } of this.kept.values()) pixels += greys.length;
    for (const [oldest, { greys }] of this.kept) {
      if (pixels <= KEPT_PIXELS || oldest === key) break;
      this.kept.delete(oldest);
      pixels -= greys.length;
    }
  }
}
