// Sections through chunked volumes: slabs of densities averaged, slabs of labels by their largest label. Pure.

import type { Triple } from "../api/types.ts";
import { type Axis, type Window, planeAxes } from "./geometry.ts";
import { type Voxels, type ZarrLevel, chunkKey } from "./zarr.ts";

/** A rectangle of a slab at one level. */
export interface SectionRequest {
  level: ZarrLevel;
  axis: Axis;
  /** First and last plane of the level. */
  planes: [number, number];
  /** In voxels of the level; whole chunks. */
  window: Window;
}

export interface Section<T extends Float32Array | Uint16Array> {
  values: T;
  width: number;
  height: number;
  /** Whether all chunks were there. */
  complete: boolean;
}

type GetChunk = (key: string) => Voxels | undefined;

/** Return the request for what is in view, made of whole chunks, so that small movements do not change it. */
export function sectionRequest(level: ZarrLevel, axis: Axis, slab: [number, number], visible: Window): SectionRequest {
  const { down, right } = planeAxes(axis);
  const whole = ([first, end]: [number, number], along: Axis): [number, number] => {
    const side = level.chunkShape[along];
    const factor = level.factors[along];
    const start = Math.floor(Math.floor(first / factor) / side) * side;
    const stop = Math.ceil(Math.ceil(end / factor) / side) * side;
    return [start, Math.min(stop, level.shape[along])];
  };
  const plane = (index: number) => Math.min(Math.floor(index / level.factors[axis]), level.shape[axis] - 1);
  return {
    level,
    axis,
    planes: [plane(slab[0]), plane(slab[1])],
    window: { down: whole(visible.down, down), right: whole(visible.right, right) },
  };
}

/** Positions of the chunks that a request needs, those in the middle first. */
export function chunksOf({ level, axis, planes, window }: SectionRequest): Triple[] {
  const { down, right } = planeAxes(axis);
  const range = ([first, end]: [number, number], along: Axis) => {
    const side = level.chunkShape[along];
    const start = Math.floor(first / side);
    return Array.from({ length: Math.max(0, Math.ceil(end / side) - start) }, (_, n) => start + n);
  };
  const found: Triple[] = [];
  for (const along of range([planes[0], planes[1] + 1], axis)) {
    for (const row of range(window.down, down)) {
      for (const column of range(window.right, right)) {
        const position = [0, 0, 0];
        position[axis] = along;
        position[down] = row;
        position[right] = column;
        found.push(position as unknown as Triple);
      }
    }
  }
  const middle = (range: [number, number], along: Axis) => (range[0] + range[1]) / 2 / level.chunkShape[along] - 0.5;
  const centre = [middle(window.down, down), middle(window.right, right)] as const;
  const distance = (at: Triple) => Math.hypot(at[down] - centre[0], at[right] - centre[1]);
  return found.sort((one, other) => distance(one) - distance(other));
}

/** The keys of the chunks that a request needs. */
export function keysOf(request: SectionRequest): string[] {
  return chunksOf(request).map((position) => chunkKey(request.level, position));
}

/** The slab of chunks on either side of a section, which moving on will need. */
export function neighbourKeys(request: SectionRequest): string[] {
  const { level, axis, planes } = request;
  const side = level.chunkShape[axis];
  const shifted = (to: number): string[] =>
    to < 0 || to >= level.shape[axis] ? [] : keysOf({ ...request, planes: [to, to] });
  return [
    ...shifted((Math.floor(planes[1] / side) + 1) * side),
    ...shifted(Math.floor(planes[0] / side) * side - 1),
  ];
}

/** Average the planes of a slab; where a chunk is missing, the values are NaN. */
export function densitySection(request: SectionRequest, get: GetChunk): Section<Float32Array> {
  const section = blank(request, Float32Array);
  const count = request.planes[1] - request.planes[0] + 1;
  section.complete = visit(request, get, {
    add(chunk, from, step, to, length) {
      const { values } = section;
      for (let n = 0; n < length; n++) values[to + n]! += chunk[from + n * step]!;
    },
    missing(to, length) {
      section.values.fill(Number.NaN, to, to + length);
    },
  });
  if (count > 1) for (let n = 0; n < section.values.length; n++) section.values[n]! /= count;
  return section;
}

/** Take the largest label of a slab, as the server does; where a chunk is missing, there is none. */
export function labelSection(request: SectionRequest, get: GetChunk): Section<Uint16Array> {
  const section = blank(request, Uint16Array);
  section.complete = visit(request, get, {
    add(chunk, from, step, to, length) {
      const { values } = section;
      for (let n = 0; n < length; n++) {
        const label = chunk[from + n * step]!;
        if (label > values[to + n]!) values[to + n] = label;
      }
    },
    missing() {},
  });
  return section;
}

function blank<T extends Float32Array | Uint16Array>(request: SectionRequest, type: new (length: number) => T): Section<T> {
  const width = request.window.right[1] - request.window.right[0];
  const height = request.window.down[1] - request.window.down[0];
  return { values: new type(width * height), width, height, complete: true };
}

interface Visitor {
  /** A row of a chunk, voxels `step` apart from `from` on, belongs at `to`. */
  add(chunk: Voxels, from: number, step: number, to: number, length: number): void;
  missing(to: number, length: number): void;
}

function visit(request: SectionRequest, get: GetChunk, visitor: Visitor): boolean {
  const { level, axis, planes, window } = request;
  const { down, right } = planeAxes(axis);
  const side = level.chunkShape;
  const strides = [side[1] * side[2], side[2], 1] as const;
  const width = window.right[1] - window.right[0];
  let complete = true;
  for (const position of chunksOf(request)) {
    const chunk = get(chunkKey(level, position));
    complete &&= chunk !== undefined;
    const start = position.map((n, along) => n * side[along]!) as unknown as Triple;
    const rows = [Math.max(start[down], window.down[0]), Math.min(start[down] + side[down], window.down[1])] as const;
    const columns = [Math.max(start[right], window.right[0]), Math.min(start[right] + side[right], window.right[1])] as const;
    const first = Math.max(planes[0], start[axis]);
    const last = Math.min(planes[1], start[axis] + side[axis] - 1);
    for (let plane = first; plane <= last; plane++) {
      for (let row = rows[0]; row < rows[1]; row++) {
        const to = (row - window.down[0]) * width + columns[0] - window.right[0];
        const length = columns[1] - columns[0];
        if (!chunk) visitor.missing(to, length);
        else {
          const from =
            (plane - start[axis]) * strides[axis] +
            (row - start[down]) * strides[down] +
            (columns[0] - start[right]) * strides[right];
          visitor.add(chunk, from, strides[right], to, length);
        }
      }
    }
  }
  return complete;
}

/** Return the value of a voxel of full resolution at a level, if its chunk is there. */
export function valueAt(level: ZarrLevel, voxel: Triple, get: GetChunk): number | undefined {
  const at = voxel.map((n, along) =>
    Math.min(Math.floor(n / level.factors[along]!), level.shape[along]! - 1),
  ) as unknown as Triple;
  const side = level.chunkShape;
  const position = at.map((n, along) => Math.floor(n / side[along]!)) as unknown as Triple;
  const chunk = get(chunkKey(level, position));
  const [z, y, x] = at.map((n, along) => n - position[along]! * side[along]!) as unknown as Triple;
  return chunk?.[(z * side[1] + y) * side[2] + x];
}
