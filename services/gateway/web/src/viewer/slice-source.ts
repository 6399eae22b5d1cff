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

export interface LoadedSlice {
  section: Section<Float32Array>;
  request: SectionRequest;
}

/** Load an image and return its densities. */
export async function loadSlice(query: SliceQuery, signal: AbortSignal): Promise<LoadedSlice> {
  const response = await request(sliceUrl(query), { signal });
  const image = await createImageBitmap(await response.blob());
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, image.width, image.height);
  const { low, high } = query.limits;
  const values = Float32Array.from({ length: image.width * image.height }, (_, n) => low + (data[4 * n]! / 255) * (high - low));
  const section = { values, width: image.width, height: image.height, complete: true };
  return { section, request: wholeRequest(query, image.width, image.height) };
}

/** An image of a whole section as a level of its own. */
function wholeRequest({ volume, axis, index }: SliceQuery, width: number, height: number): SectionRequest {
  const { down, right } = planeAxes(axis);
  const shape: [number, number, number] = [1, 1, 1];
  const factors: [number, number, number] = [1, 1, 1];
  [shape[down], shape[right]] = [height, width];
  [factors[down], factors[right]] = [volume.shape[down] / height, volume.shape[right] / width];
  const level = { path: "slice", shape: shape as Triple, chunkShape: shape as Triple, dtype: "float32", gzip: false, factors } as const;
  return { level, axis, planes: [index, index], window: { down: [0, height], right: [0, width] } };
}

/** Loads the image that is wanted last; earlier ones are cancelled. */
export class SliceLoader {
  /** The image that was loaded last, and what it is of. */
  loaded: { key: string; slice: LoadedSlice } | null = null;
  private wanted = "";
  private abort = new AbortController();

  constructor(
    private readonly onLoaded: () => void,
    private readonly retryMs: (error: unknown) => number | null,
  ) {}

  want(query: SliceQuery): void {
    const key = sliceUrl(query);
    if (key === this.wanted) return;
    this.wanted = key;
    this.abort.abort();
    this.abort = new AbortController();
    void this.load(key, query, this.abort.signal);
  }

  close(): void {
    this.abort.abort();
  }

  private async load(key: string, query: SliceQuery, signal: AbortSignal): Promise<void> {
    try {
      const slice = await loadSlice(query, signal);
      if (signal.aborted) return;
      this.loaded = { key, slice };
      this.onLoaded();
    } catch (error) {
      if (signal.aborted) return;
      const wait = this.retryMs(error);
      if (wait !== null) setTimeout(() => signal.aborted || void this.load(key, query, signal), wait);
    }
  }
}
