// A glance at the first bytes of a file before it is sent, so that a wrong or truncated one is not uploaded in vain.
// The server decides: here only what can never be a tomogram is refused.

export const HEADER_BYTES = 1024;

export type Glance =
  | { kind: "mrc"; shape: [number, number, number]; voxelSize: [number, number, number] | null }
  | { kind: "compressed" }
  | { kind: "refused"; problem: string };

/** Bits per voxel by MRC mode; the complex modes 3 and 4 are not density. */
const MODE_BITS: Readonly<Record<number, number>> = { 0: 8, 1: 16, 2: 32, 6: 16, 12: 16, 101: 4 };
const COMPLEX = new Set([3, 4]);

export function glance(start: ArrayBuffer, size: number): Glance {
  if (size === 0) return { kind: "refused", problem: "The file is empty." };
  const first = new Uint8Array(start);
  const gzip = first[0] === 0x1f && first[1] === 0x8b;
  const bzip2 = first[0] === 0x42 && first[1] === 0x5a && first[2] === 0x68;
  if (gzip || bzip2) return { kind: "compressed" };
  const view = start.byteLength >= HEADER_BYTES ? new DataView(start) : null;
  const little = view && [true, false].find((one) => isPlausible(view, one));
  if (!view || little === undefined || little === null) {
    return {
      kind: "refused",
      problem: "This is not an MRC file: it does not begin with the header of one. Choose a tomogram (.mrc, .rec, .map, .st or .ali).",
    };
  }
  return header(view, little, size);
}

function isPlausible(view: DataView, little: boolean): boolean {
  const [columns, rows, sections, mode] = [0, 4, 8, 12].map((at) => view.getInt32(at, little)) as [
    number,
    number,
    number,
    number,
  ];
  const sides = [columns, rows, sections].every((side) => side > 0 && side < 1 << 20);
  return sides && (Object.hasOwn(MODE_BITS, mode) || COMPLEX.has(mode));
}

function header(view: DataView, little: boolean, size: number): Glance {
  const integer = (at: number) => view.getInt32(at, little);
  const [columns, rows, sections, mode] = [integer(0), integer(4), integer(8), integer(12)] as [
    number,
    number,
    number,
    number,
  ];
  const bits = MODE_BITS[mode];
  if (bits === undefined) return { kind: "refused", problem: "This file holds complex numbers, not density." };
  const needed = HEADER_BYTES + Math.max(0, integer(92)) + rows * sections * Math.ceil((columns * bits) / 8);
  if (size < needed) {
    const share = Math.floor((100 * size) / needed);
    return {
      kind: "refused",
      problem: `The file is truncated: its header announces more voxels than it holds (${share} %).`,
    };
  }
  // The axes (1 x, 2 y, 3 z) of columns, rows and sections.
  const axes = [integer(64), integer(68), integer(72)];
  const order = new Set(axes).size === 3 && axes.every((axis) => axis >= 1 && axis <= 3) ? axes : [1, 2, 3];
  const sides = [columns, rows, sections];
  const along = (axis: number) => sides[order.indexOf(axis)]!;
  return { kind: "mrc", shape: [along(3), along(2), along(1)], voxelSize: voxelSize(view, little) };
}

function voxelSize(view: DataView, little: boolean): [number, number, number] | null {
  const sizes = [2, 1, 0].map((axis) => view.getFloat32(40 + 4 * axis, little) / view.getInt32(28 + 4 * axis, little));
  return sizes.every((one) => Number.isFinite(one) && one > 0) ? (sizes as [number, number, number]) : null;
}
