// Painted strokes: a record of lines and labels that a classifier learns from. Pure.

import type { Json, Triple } from "../api/types.ts";

/** The engine that learns from strokes. */
export const PIXELS = "pixels";

export interface StrokeLabel {
  name: string;
  /** As in #e69f00. */
  colour: string;
}

/** A line painted with a round brush of a radius in voxels: a disc along y and x around each of its voxels. */
export interface StrokeLine {
  label: number;
  radius: number;
  /** z, y, x; whole voxels. */
  points: readonly Triple[];
}

/** What is painted on a tomogram, as the server takes it; label 0 is the background. */
export interface Strokes {
  shape: Triple;
  labels: readonly StrokeLabel[];
  lines: readonly StrokeLine[];
  /** Voxels that were painted elsewhere, packed; kept as they are. */
  voxels: string;
}

/** White for the background; then colours that colour-blind people can tell apart (Okabe and Ito), as in the desktop. */
const COLOURS = ["#ffffff", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"] as const;
/** What the server takes. */
export const LABELS_MAX = 16;
export const NAME_LONGEST = 64;
const BYTES_MAX = 20_000;
const LINES_MAX = 1000;
/** How far a line may be from what the pointer drew, in voxels. */
const TOLERANCE = 0.7;

export function noStrokes(shape: Triple): Strokes {
  return { shape, labels: [newLabel(0), newLabel(1)], lines: [], voxels: "" };
}

function newLabel(number: number): StrokeLabel {
  return { name: number === 0 ? "background" : `label ${number}`, colour: COLOURS[number % COLOURS.length]! };
}

export function withLabel(strokes: Strokes): Strokes {
  const { labels } = strokes;
  return labels.length < LABELS_MAX ? { ...strokes, labels: [...labels, newLabel(labels.length)] } : strokes;
}

export function renamed(strokes: Strokes, label: number, name: string): Strokes {
  const labels = strokes.labels.map((one, number) => (number === label ? { ...one, name } : one));
  return { ...strokes, labels };
}

/** The strokes of a job's parameters; null if there are none. */
export function readStrokes(value: Json | undefined): Strokes | null {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  const { shape, labels, lines, voxels } = value as unknown as Strokes;
  return { shape, labels, lines: lines ?? [], voxels: voxels ?? "" };
}

/** The record as it is sent: a name that was emptied has its first one again. */
export function sendable(strokes: Strokes): Strokes {
  const labels = strokes.labels.map(({ name, colour }, number) => ({ name: name.trim() || newLabel(number).name, colour }));
  return { ...strokes, labels };
}

export function sameStrokes(one: Strokes | null, other: Strokes | null): boolean {
  return JSON.stringify(one && sendable(one)) === JSON.stringify(other && sendable(other));
}

/** How much of what a job can take is used, 0 to 1 and above. */
export function used(strokes: Strokes): number {
  const bytes = new TextEncoder().encode(JSON.stringify(sendable(strokes))).length;
  return Math.max(bytes / BYTES_MAX, strokes.lines.length / LINES_MAX);
}

/** Whether a classifier can learn from them: it needs two labels. */
export function isEnough({ lines, voxels }: Strokes): boolean {
  return voxels !== "" || new Set(lines.map(({ label }) => label)).size > 1;
}

/** The line with as few points as describe it (Ramer, Douglas and Peucker). */
export function simplified(points: readonly Triple[]): Triple[] {
  if (points.length < 3) return [...points];
  const first = points[0]!;
  const last = points.at(-1)!;
  let farthest = 0;
  let distance = 0;
  for (let n = 1; n < points.length - 1; n++) {
    const found = distanceTo(points[n]!, first, last);
    if (found > distance) [farthest, distance] = [n, found];
  }
  if (distance <= TOLERANCE) return [first, last];
  return [...simplified(points.slice(0, farthest + 1)).slice(0, -1), ...simplified(points.slice(farthest))];
}

/** From a point to a segment, in voxels. */
function distanceTo(point: Triple, start: Triple, end: Triple): number {
  const along = end.map((at, axis) => at - start[axis]!);
  const away = point.map((at, axis) => at - start[axis]!);
  const length2 = along.reduce((sum, at) => sum + at * at, 0);
  const share = length2 === 0 ? 0 : away.reduce((sum, at, axis) => sum + at * along[axis]!, 0) / length2;
  const clamped = Math.min(Math.max(share, 0), 1);
  return Math.hypot(...away.map((at, axis) => at - clamped * along[axis]!));
}

/** The voxels that a line covers: z, y, x of each, one after the other; the same ones that the server paints. */
export function voxelsOf({ points, radius }: StrokeLine, shape: Triple): Int32Array {
  const [depth, height, width] = shape;
  const painted = new Set<number>();
  for (const [z, y, x] of pathOf(points)) {
    if (z < 0 || z >= depth) continue;
    for (let dy = -radius; dy <= radius; dy++) {
      for (let dx = -radius; dx <= radius; dx++) {
        const [row, column] = [y + dy, x + dx];
        if (dy * dy + dx * dx > radius * radius || row < 0 || row >= height || column < 0 || column >= width) continue;
        painted.add((z * height + row) * width + column);
      }
    }
  }
  const found = new Int32Array(3 * painted.size);
  let n = 0;
  for (const at of painted) {
    const row = Math.floor(at / width);
    found[n++] = Math.floor(row / height);
    found[n++] = row % height;
    found[n++] = at % width;
  }
  return found;
}

function pathOf(points: readonly Triple[]): Triple[] {
  const found: Triple[] = [points[0]!];
  for (let n = 1; n < points.length; n++) {
    const start = points[n - 1]!;
    const end = points[n]!;
    const steps = Math.max(...end.map((at, axis) => Math.abs(at - start[axis]!)));
    for (let step = 1; step <= steps; step++) {
      found.push(start.map((at, axis) => rint(at + ((end[axis]! - at) * step) / steps)) as unknown as Triple);
    }
  }
  return found;
}

/** Halves go to the even neighbour, as in NumPy. */
function rint(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** Whether a line covers a voxel. */
export function covers(line: StrokeLine, shape: Triple, [z, y, x]: Triple): boolean {
  const voxels = voxelsOf(line, shape);
  for (let n = 0; n < voxels.length; n += 3) {
    if (voxels[n] === z && voxels[n + 1] === y && voxels[n + 2] === x) return true;
  }
  return false;
}
