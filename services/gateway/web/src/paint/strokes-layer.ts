// Strokes in a section: each voxel as the server paints it.

import { signal } from "@preact/signals";
import type { Triple } from "../api/types.ts";
import type { Placed } from "../viewer/density-layer.ts";
import { type Axis, planeAxes } from "../viewer/geometry.ts";
import type { ViewerModel } from "../viewer/model.ts";
import { toColours } from "../viewer/overlay.ts";
import { fromHex } from "../viewer/palette.ts";
import { Raster } from "../viewer/raster.ts";
import type { ZarrLevel } from "../viewer/zarr.ts";
import { type PackedVoxels, unpacked } from "./packed.ts";
import { type StrokeLine, type Strokes, voxelsOf } from "./strokes.ts";

/** A line never changes, so its voxels are computed once for all three sections. */
const known = new WeakMap<StrokeLine, Int32Array>();
const OPACITY = 1;

export class StrokesLayer {
  private readonly raster = new Raster();
  private readonly packed = signal<readonly PackedVoxels[]>([]);
  private packedText = "";
  private drawn: readonly unknown[] = [];
  private placed: Placed | null = null;
  private count = 0;

  constructor(private readonly model: ViewerModel) {}

  /** Return the image of the strokes in the section that is shown along an axis; null if there are none. */
  draw(axis: Axis): Placed | null {
    const { painter, position } = this.model;
    if (!painter.on.value) return null;
    const strokes = painter.strokes.value;
    this.unpack(strokes);
    const of = [strokes, painter.draft.value, this.packed.value, position.value[axis]];
    if (of.some((one, n) => one !== this.drawn[n])) {
      this.drawn = of;
      this.placed = this.paint(axis, strokes);
    }
    return this.placed;
  }

  private unpack({ voxels, shape }: Strokes): void {
    if (voxels === this.packedText) return;
    this.packedText = voxels;
    unpacked(voxels, shape).then((found) => {
      this.packed.value = found;
      this.model.arrivals.value++;
    }, () => {});
  }

  private paint(axis: Axis, strokes: Strokes): Placed | null {
    const draft = this.model.painter.draft.peek();
    const { shape } = this.model.grid;
    const painted: PackedVoxels[] = [
      ...this.packed.peek(),
      ...[...strokes.lines, ...(draft ? [draft] : [])].map((line) => ({ label: line.label, voxels: voxelsIn(line, shape) })),
    ];
    const { down, right } = planeAxes(axis);
    const section = this.model.position.peek()[axis];
    const shown = painted.map(({ label, voxels }) => ({ label, at: inSection(voxels, axis, section, down, right) }));
    const box = boundsOf(shown.map(({ at }) => at));
    if (!box) return null;
    const [width, height] = [box.right[1] - box.right[0], box.down[1] - box.down[0]];
    const labels = new Uint8Array(width * height);
    for (const { label, at } of shown) {
      for (let n = 0; n < at.length; n += 2) labels[(at[n]! - box.down[0]) * width + at[n + 1]! - box.right[0]] = label + 1;
    }
    const colours = strokes.labels.map(({ colour }) => fromHex(colour));
    const look = { style: "both", opacity: OPACITY, colour: (label: number) => colours[label - 1] ?? null } as const;
    this.raster.update(String(++this.count), width, height, (pixels) => toColours(labels, width, height, look, pixels));
    const level: ZarrLevel = { path: "strokes", shape, chunkShape: shape, dtype: "uint8", gzip: false, factors: [1, 1, 1] };
    return { canvas: this.raster.canvas, request: { level, axis, planes: [section, section], window: box } };
  }
}

function voxelsIn(line: StrokeLine, shape: Triple): Int32Array {
  const found = known.get(line) ?? voxelsOf(line, shape);
  known.set(line, found);
  return found;
}

/** Down and right of the voxels in a section, one after the other. */
function inSection(voxels: Int32Array, axis: Axis, section: number, down: Axis, right: Axis): number[] {
  const found: number[] = [];
  for (let n = 0; n < voxels.length; n += 3) {
    if (voxels[n + axis] === section) found.push(voxels[n + down]!, voxels[n + right]!);
  }
  return found;
}

function boundsOf(all: readonly number[][]): { down: [number, number]; right: [number, number] } | null {
  let [top, bottom, left, end] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const at of all) {
    for (let n = 0; n < at.length; n += 2) {
      [top, bottom] = [Math.min(top, at[n]!), Math.max(bottom, at[n]! + 1)];
      [left, end] = [Math.min(left, at[n + 1]!), Math.max(end, at[n + 1]! + 1)];
    }
  }
  return bottom < 0 ? null : { down: [top, bottom], right: [left, end] };
}
