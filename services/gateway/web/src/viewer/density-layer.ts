// The tomogram in a view: the level that fits the screen, and a coarser one until that is there.

import { type Axis, type Camera, type Size, chooseLevel, slabRange, visibleWindow } from "./geometry.ts";
import { smooth } from "./filter.ts";
import { type ViewerModel, affordable } from "./model.ts";
import { CachedSection, Raster } from "./raster.ts";
import { type Section, type SectionRequest, chunksOf, densitySection, keysOf, neighbourKeys, sectionRequest } from "./section.ts";
import { toGrey } from "./tone.ts";
import { type LoadedSlice, SliceLoader, isLarge, loadSlice, sliceDensities } from "./slice-source.ts";
import type { ZarrImage } from "./zarr.ts";

/** An image, and the part of the level that it shows. */
export interface Placed {
  canvas: HTMLCanvasElement;
  request: SectionRequest;
}

export interface ViewState {
  axis: Axis;
  camera: Camera;
  size: Size;
  /** Device pixels per CSS pixel. */
  density: number;
}

/** Return what of an image is in view, at the level that fits the screen, or at a finer one. */
export function requestFor(model: ViewerModel, image: ZarrImage, view: ViewState, finer = 0): SectionRequest {
  const { axis, camera, size, density } = view;
  const { grid, store } = model;
  const visible = visibleWindow(camera, size, grid, axis);
  const slab = slabRange(model.position.value[axis], model.slab.value, grid.shape[axis]);
  const at = (level: number) => sectionRequest(image.levels[level]!, axis, slab, visible);
  const chosen = Math.max(0, chooseLevel(image.levels.map(({ factors }) => factors), camera, grid, axis, density) - finer);
  return at(affordable(image.levels, chosen, (level) => chunksOf(at(level)).length, store.maxBytes));
}

export function requestKey({ level, axis, planes, window }: SectionRequest): string {
  return `${level.path}|${axis}|${planes}|${window.down}|${window.right}`;
}

export class DensityLayer {
  private readonly fine = new Slot();
  private readonly coarse = new Slot();
  private readonly slices: SliceLoader;
  /** The densities that were drawn last, if all of the section was there. */
  values: Float32Array | null = null;
  /** Whether what was drawn last is made of a sample. */
  sampled = false;

  constructor(private readonly model: ViewerModel) {
    this.slices = new SliceLoader({
      load: loadSlice,
      onLoaded: () => void model.arrivals.value++,
      retryMs: (error) => model.onLoadError(error),
    });
  }

  close(): void {
    this.slices.close();
  }

  /** Return the images to draw, coarse ones first; adds to `keys` what has to be loaded for them. */
  draw(view: ViewState, keys: string[]): Placed[] {
    const image = this.model.tomogram.value;
    if (!image) return [];
    const request = requestFor(this.model, image, view);
    if (isLarge(image)) return this.drawLarge(image, request, view, keys);
    const level = image.levels.indexOf(request.level);
    const overview = this.requestAt(image, image.levels.length - 1, view);
    keys.push(...keysOf(overview), ...keysOf(request), ...neighbourKeys(request));
    const fine = this.fine.draw(this.model, request);
    this.values = fine.complete ? fine.values : null;
    if (fine.complete) return [fine.placed];
    const fallback = this.coarse.draw(this.model, this.bestLoaded(image, level, view));
    // A filtered part would end where its chunks end.
    const partial = this.model.sigma.value === 0;
    return partial ? [fallback.placed, fine.placed] : [fallback.placed];
  }

  /** Show the server's image of the section, and voxels of full resolution over it where they are as large as pixels. */
  private drawLarge(image: ZarrImage, request: SectionRequest, view: ViewState, keys: string[]): Placed[] {
    const { model } = this;
    const volume = model.volumes.value?.volumes.find(({ kind }) => kind === "tomogram");
    const file = model.fileLimits.value;
    if (!volume || !file) return [];
    const room = 0.6 * (file.high - file.low);
    this.slices.want({
      volume,
      axis: view.axis,
      index: model.position.value[view.axis],
      thickness: model.slab.value,
      factor: Math.max(...request.level.factors),
      limits: { low: file.low - room, high: file.high + room },
    });
    const { loaded } = this.slices;
    const slice = loaded && this.coarse.drawSlice(model, loaded.slice, loaded.key);
    const base = slice ? [slice.placed] : [];
    this.values = slice?.values ?? null;
    this.sampled = loaded?.slice.sampled ?? false;
    if (request.level !== image.levels[0]) return base;
    keys.push(...keysOf(request), ...neighbourKeys(request));
    const fine = this.fine.draw(model, request);
    return fine.complete || model.sigma.value === 0 ? [...base, fine.placed] : base;
  }

  private bestLoaded(image: ZarrImage, level: number, view: ViewState): SectionRequest {
    const { store } = this.model;
    for (let coarser = level + 1; coarser < image.levels.length; coarser++) {
      const request = this.requestAt(image, coarser, view);
      if (keysOf(request).every((key) => store.get(key))) return request;
    }
    return this.requestAt(image, image.levels.length - 1, view);
  }

  private requestAt(image: ZarrImage, level: number, { axis, camera, size }: ViewState): SectionRequest {
    const { grid, position, slab } = this.model;
    const planes = slabRange(position.value[axis], slab.value, grid.shape[axis]);
    return sectionRequest(image.levels[level]!, axis, planes, visibleWindow(camera, size, grid, axis));
  }
}

interface Drawn {
  placed: Placed;
  complete: boolean;
  values: Float32Array;
}

class Slot {
  private readonly cached = new CachedSection<Float32Array>();
  private readonly raster = new Raster();

  draw(model: ViewerModel, request: SectionRequest): Drawn {
    const { store } = model;
    const compute = () => densitySection(request, (key) => store.get(key));
    return this.paint(model, request, requestKey(request), compute);
  }

  drawSlice(model: ViewerModel, slice: LoadedSlice, key: string): Drawn {
    return this.paint(model, slice.request, key, () => sliceDensities(slice));
  }

  private paint(model: ViewerModel, request: SectionRequest, key: string, compute: () => Section<Float32Array>): Drawn {
    const sigma = model.sigma.value * Math.min(...model.grid.voxelSize);
    const section = this.cached.update(`${key}|${sigma}`, model.store.version, () => {
      const found = compute();
      if (sigma > 0) smooth(found.values, found.width, found.height, sigmas(request, sigma, model));
      return found;
    });
    const limits = model.limits.value;
    const invert = model.invert.value;
    this.raster.update(
      `${this.cached.contentKey}|${limits.low}|${limits.high}|${invert}`,
      section.width,
      section.height,
      (pixels) => toGrey(section.values, limits, invert, pixels),
    );
    return { placed: { canvas: this.raster.canvas, request }, complete: section.complete, values: section.values };
  }
}

/** The width of the filter in voxels of a level. */
function sigmas({ level, axis }: SectionRequest, sigma: number, { grid }: ViewerModel): { down: number; right: number } {
  const along = (n: 0 | 1 | 2) => sigma / (grid.voxelSize[n] * level.factors[n]);
  return axis === 0
    ? { down: along(1), right: along(2) }
    : { down: along(0), right: along(axis === 1 ? 2 : 1) };
}
