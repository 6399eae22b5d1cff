// The tomogram in a view: the level that fits the screen, and a coarser one until that is there.

import { type Axis, type Camera, type Size, chooseLevel, slabRange, visibleWindow } from "./geometry.ts";
import { smooth } from "./filter.ts";
import { type ViewerModel, affordable } from "./model.ts";
import { CachedSection, Raster } from "./raster.ts";
import { type SectionRequest, chunksOf, densitySection, keysOf, neighbourKeys, sectionRequest } from "./section.ts";
import { toGrey } from "./tone.ts";
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

  constructor(private readonly model: ViewerModel) {}

  /** Return the images to draw, coarse ones first; adds to `keys` what has to be loaded for them. */
  draw(view: ViewState, keys: string[]): Placed[] {
    const image = this.model.tomogram.value;
    if (!image) return [];
    const request = requestFor(this.model, image, view);
    const level = image.levels.indexOf(request.level);
    const overview = this.requestAt(image, image.levels.length - 1, view);
    keys.push(...keysOf(overview), ...keysOf(request), ...neighbourKeys(request));
    const fine = this.fine.draw(this.model, request);
    if (fine.complete) return [fine.placed];
    const fallback = this.coarse.draw(this.model, this.bestLoaded(image, level, view));
    // A filtered part would end where its chunks end.
    const partial = this.model.sigma.value === 0;
    return partial ? [fallback.placed, fine.placed] : [fallback.placed];
  }

  /** The densities of the last section, if all of it was there. */
  get values(): Float32Array | null {
    const { section } = this.fine.cached;
    return section?.complete ? section.values : null;
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

class Slot {
  readonly cached = new CachedSection<Float32Array>();
  private readonly raster = new Raster();

  draw(model: ViewerModel, request: SectionRequest): { placed: Placed; complete: boolean } {
    const { store, grid } = model;
    const sigma = model.sigma.value * Math.min(...grid.voxelSize);
    const section = this.cached.update(`${requestKey(request)}|${sigma}`, store.version, () => {
      const found = densitySection(request, (key) => store.get(key));
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
    return { placed: { canvas: this.raster.canvas, request }, complete: section.complete };
  }
}

/** The width of the filter in voxels of a level. */
function sigmas({ level, axis }: SectionRequest, sigma: number, { grid }: ViewerModel): { down: number; right: number } {
  const along = (n: 0 | 1 | 2) => sigma / (grid.voxelSize[n] * level.factors[n]);
  return axis === 0
    ? { down: along(1), right: along(2) }
    : { down: along(0), right: along(axis === 1 ? 2 : 1) };
}
