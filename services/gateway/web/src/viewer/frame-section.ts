// Sections through the preview of a running job. Pure.

import { type Frame, labelAt } from "../api/frames.ts";
import { type Axis, planeAxes } from "./geometry.ts";
import type { Section } from "./section.ts";

/** Return the largest labels of a slab of a preview; the slab is given by sections of the tomogram. */
export function frameSection(frame: Frame, axis: Axis, slab: [number, number]): Section<Uint16Array> {
  const { shape, bits } = frame.buffer;
  const { down, right } = planeAxes(axis);
  const strides = [shape[1] * shape[2], shape[2], 1] as const;
  const width = shape[right];
  const height = shape[down];
  const values = new Uint16Array(width * height);
  const plane = (index: number) => Math.min(Math.floor(index / frame.scale[axis]), shape[axis] - 1);
  for (let at = plane(slab[0]); at <= plane(slab[1]); at++) {
    for (let row = 0, n = 0; row < height; row++) {
      let voxel = at * strides[axis] + row * strides[down];
      for (let column = 0; column < width; column++, n++, voxel += strides[right]) {
        const label = labelAt(frame.packed, voxel, bits);
        if (label > values[n]!) values[n] = label;
      }
    }
  }
  return { values, width, height, complete: true };
}
