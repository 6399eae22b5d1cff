// The uncertainty in a view: colours over the densities, the more opaque the less certain a voxel is.

import { type Placed, type ViewState, requestFor, requestKey } from "./density-layer.ts";
import { toHeat } from "./heat.ts";
import type { ViewerModel } from "./model.ts";
import { CachedSection, Raster } from "./raster.ts";
import { densitySection, keysOf } from "./section.ts";

export class UncertaintyLayer {
  private readonly percent = new CachedSection<Float32Array>();
  private readonly raster = new Raster();

  constructor(private readonly model: ViewerModel) {}

  /** Return the image to draw, null if it is not shown; adds to `keys` what has to be loaded for it. */
  draw(view: ViewState, keys: string[]): Placed | null {
    const { model } = this;
    const image = model.uncertainty.value;
    if (!image || !model.showUncertainty.value) return null;
    const request = requestFor(model, image, view);
    keys.push(...keysOf(request));
    const { store } = model;
    const section = this.percent.update(requestKey(request), store.version, () => densitySection(request, (key) => store.get(key)));
    const opacity = model.uncertaintyOpacity.value;
    this.raster.update(`${this.percent.contentKey}|${opacity}`, section.width, section.height, (pixels) =>
      toHeat(section.values, opacity, pixels),
    );
    return { canvas: this.raster.canvas, request };
  }
}
