// The mask in a view: labels of a file, the preview of a running job, or scores above a threshold.

import type { Frame } from "../api/frames.ts";
import { type Placed, type ViewState, requestFor, requestKey } from "./density-layer.ts";
import { frameSection } from "./frame-section.ts";
import { planeAxes, slabRange } from "./geometry.ts";
import { PREVIEW } from "./layers.ts";
import type { ViewerModel } from "./model.ts";
import { thresholded, toColours } from "./overlay.ts";
import { CachedSection, Raster } from "./raster.ts";
import { type SectionRequest, densitySection, keysOf, labelSection } from "./section.ts";
import type { ZarrImage, ZarrLevel } from "./zarr.ts";

export class MaskLayer {
  private readonly labels = new CachedSection<Uint16Array>();
  private readonly scores = new CachedSection<Float32Array>();
  private readonly preview = new CachedSection<Uint16Array>();
  private readonly raster = new Raster();

  constructor(private readonly model: ViewerModel) {}

  /** Return the image to draw; adds to `keys` what has to be loaded for it. */
  draw(view: ViewState, keys: string[]): Placed | null {
    const { model } = this;
    const threshold = model.threshold.value;
    const scores = model.scores.value;
    if (threshold !== null && scores) return this.drawScores(scores, threshold, view, keys);
    const layer = model.layer.value;
    const image = model.images.value.get(layer);
    if (image) return this.drawLabels(image, view, keys) ?? this.drawFrame(view);
    return layer === PREVIEW ? this.drawFrame(view) : null;
  }

  private drawScores(image: ZarrImage, threshold: number, view: ViewState, keys: string[]): Placed {
    // Averages of coarser levels would lower the scores of thin membranes.
    const request = requestFor(this.model, image, view, 1);
    keys.push(...keysOf(request));
    const { store } = this.model;
    const section = this.scores.update(requestKey(request), store.version, () =>
      densitySection(request, (key) => store.get(key)),
    );
    return this.paint(`${this.scores.contentKey}|${threshold}`, request, () => thresholded(section.values, threshold));
  }

  private drawLabels(image: ZarrImage, view: ViewState, keys: string[]): Placed | null {
    const request = requestFor(this.model, image, view);
    keys.push(...keysOf(request));
    const { store } = this.model;
    const section = this.labels.update(requestKey(request), store.version, () =>
      labelSection(request, (key) => store.get(key)),
    );
    if (!section.complete && this.model.frame.value) return null;
    return this.paint(this.labels.contentKey, request, () => section.values);
  }

  private drawFrame({ axis }: ViewState): Placed | null {
    const frame = this.model.frame.value;
    if (!frame) return null;
    const { position, slab, grid } = this.model;
    const planes = slabRange(position.value[axis], slab.value, grid.shape[axis]);
    const key = `${frame.attempt}/${frame.seq}/${frame.final}|${axis}|${planes}`;
    const section = this.preview.update(key, 0, () => frameSection(frame, axis, planes));
    return this.paint(key, frameRequest(frame, axis), () => section.values);
  }

  private paint(content: string, request: SectionRequest, labels: () => ArrayLike<number>): Placed {
    const { model } = this;
    const width = request.window.right[1] - request.window.right[0];
    const height = request.window.down[1] - request.window.down[0];
    const looks = [...model.looks.value].map(([label, { colour, hidden }]) => `${label}:${colour}:${hidden}`).join();
    const key = `${content}|${model.style.value}|${model.opacity.value}|${looks}`;
    this.raster.update(key, width, height, (pixels) => {
      const colour = (label: number) => {
        const look = model.look(label);
        return look.hidden ? null : look.colour;
      };
      toColours(labels(), width, height, { style: model.style.value, opacity: model.opacity.value, colour }, pixels);
    });
    return { canvas: this.raster.canvas, request };
  }
}

/** A preview as a level of which all is shown. */
function frameRequest(frame: Frame, axis: 0 | 1 | 2): SectionRequest {
  const { shape } = frame.buffer;
  const { down, right } = planeAxes(axis);
  const level: ZarrLevel = { path: "", shape, chunkShape: shape, dtype: "uint8", gzip: false, factors: frame.scale };
  return { level, axis, planes: [0, 0], window: { down: [0, shape[down]], right: [0, shape[right]] } };
}
