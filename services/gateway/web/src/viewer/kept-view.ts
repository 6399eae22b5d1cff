// What a visitor looks at, kept while the page goes on to another job of the same tomogram.

import { batch } from "@preact/signals";
import type { ViewerModel } from "./model.ts";

let kept: { jobId: string; apply(model: ViewerModel): void } | null = null;

/** Show the same in the viewer of another job. */
export function keepView(jobId: string, from: ViewerModel): void {
  const cameras = from.cameras.map((camera) => camera.peek());
  const [position, large, full] = [from.position.peek(), from.large.peek(), from.full.peek()];
  const [limits, invert, slab, sigma] = [from.chosenLimits.peek(), from.invert.peek(), from.slab.peek(), from.sigma.peek()];
  const [smoothPixels, opacity, style, crosshair] = [from.smoothPixels.peek(), from.opacity.peek(), from.style.peek(), from.showCrosshair.peek()];
  const apply = (to: ViewerModel) => {
    to.cameras.forEach((camera, axis) => (camera.value = cameras[axis] ?? null));
    to.position.value = position;
    to.large.value = large;
    to.full.value = full;
    to.chosenLimits.value = limits;
    to.invert.value = invert;
    to.slab.value = slab;
    to.sigma.value = sigma;
    to.smoothPixels.value = smoothPixels;
    to.opacity.value = opacity;
    to.style.value = style;
    to.showCrosshair.value = crosshair;
  };
  kept = { jobId, apply };
}

/** Whether the page has gone on to a job by itself, and what was looked at should stay where it is. */
export function isViewKept(jobId: string): boolean {
  return kept?.jobId === jobId;
}

export function restoreView(model: ViewerModel): void {
  const found = kept?.jobId === model.job.peek().job_id ? kept : null;
  kept = null;
  if (found) batch(() => found.apply(model));
}
