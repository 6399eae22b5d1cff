// Surfaces of masks as triangles. Pure.

import type { Triple } from "../api/types.ts";

export interface Mesh {
  /** z, y, x of each vertex, in voxels; 0 is the edge of the first one. */
  positions: Float32Array;
  normals: Float32Array;
  triangles: Uint32Array;
}

// The corners of a cell, as offsets along z, y, x.
const CORNERS: readonly Triple[] = Array.from({ length: 8 }, (_, n): Triple => [(n >> 2) & 1, (n >> 1) & 1, n & 1]);
const EDGES = CORNERS.flatMap((_, one) => CORNERS.map((_, other) => [one, other] as const)).filter(
  ([one, other]) => one < other && [1, 2, 4].includes(one ^ other),
);

/**
 * Return the surface around the voxels with a label, by naive surface nets (S. F. Gibson, 1998): one vertex in each
 * cell of eight voxels that the surface crosses, at the mean of its crossings of the edges, made smoother by moving each
 * vertex to the mean of its neighbours.
 *
 * @param labels in C order
 * @param rounds how often vertices are moved
 */
export function surfaceOf(labels: ArrayLike<number>, shape: Triple, label: number, rounds = 2): Mesh {
  const [depth, height, width] = shape;
  const inside = (z: number, y: number, x: number): boolean =>
    z >= 0 && y >= 0 && x >= 0 && z < depth && y < height && x < width && labels[(z * height + y) * width + x] === label;
  const vertices = new Int32Array((depth + 1) * (height + 1) * (width + 1)).fill(-1);
  const positions: number[] = [];
  const quads: number[] = [];
  // Cells begin one voxel before the volume, so that surfaces at its border are closed.
  const cell = (z: number, y: number, x: number) => ((z + 1) * (height + 1) + y + 1) * (width + 1) + x + 1;
  for (let z = -1; z < depth; z++) {
    for (let y = -1; y < height; y++) {
      let mask = columnBits(inside, z, y, -1);
      for (let x = -1; x < width; x++) {
        mask = (mask & 0b10101010) >> 1;
        mask |= columnBits(inside, z, y, x + 1) & 0b10101010;
        if (mask === 0 || mask === 255) continue;
        vertices[cell(z, y, x)] = positions.length / 3;
        const [dz, dy, dx] = meanCrossing(mask);
        positions.push(z + 0.5 + dz, y + 0.5 + dy, x + 0.5 + dx);
        addQuads(quads, vertices, cell, mask, z, y, x);
      }
    }
  }
  const found = smoothed(Float32Array.from(positions), Uint32Array.from(quads), rounds);
  return { positions: found, normals: normalsOf(found, quads), triangles: Uint32Array.from(quads) };
}

/** Bits of the corners at x (even corners and odd corners alike) of a cell. */
function columnBits(inside: (z: number, y: number, x: number) => boolean, z: number, y: number, x: number): number {
  let bits = 0;
  for (let n = 0; n < 4; n++) if (inside(z + (n >> 1), y + (n & 1), x)) bits |= 0b11 << (2 * n);
  return bits;
}

const crossings = new Map<number, Triple>();

function meanCrossing(mask: number): Triple {
  const known = crossings.get(mask);
  if (known) return known;
  const sum = [0, 0, 0];
  let count = 0;
  for (const [one, other] of EDGES) {
    if (((mask >> one) & 1) === ((mask >> other) & 1)) continue;
    count++;
    for (let axis = 0; axis < 3; axis++) sum[axis]! += (CORNERS[one]![axis]! + CORNERS[other]![axis]!) / 2;
  }
  const found: Triple = [sum[0]! / count, sum[1]! / count, sum[2]! / count];
  crossings.set(mask, found);
  return found;
}

/** Join the four cells around each edge that ends in the last corner of this cell and is crossed by the surface. */
function addQuads(
  quads: number[],
  vertices: Int32Array,
  cell: (z: number, y: number, x: number) => number,
  mask: number,
  z: number,
  y: number,
  x: number,
): void {
  const first = mask & 1;
  // Edges from the first corner along x, y and z: the cells around them were visited before.
  for (const [bit, neighbours] of [
    [1, [[0, 0, 0], [-1, 0, 0], [-1, -1, 0], [0, -1, 0]]],
    [2, [[0, 0, 0], [0, 0, -1], [-1, 0, -1], [-1, 0, 0]]],
    [4, [[0, 0, 0], [0, -1, 0], [0, -1, -1], [0, 0, -1]]],
  ] as const) {
    if (((mask >> bit) & 1) === first) continue;
    const corners = neighbours.map(([dz, dy, dx]) => vertices[cell(z + dz, y + dy, x + dx)]!);
    const [a, b, c, d] = corners as [number, number, number, number];
    if (first) quads.push(a, c, b, a, d, c);
    else quads.push(a, b, c, a, c, d);
  }
}

function smoothed(positions: Float32Array, triangles: Uint32Array, rounds: number): Float32Array {
  let current = positions;
  for (let round = 0; round < rounds; round++) {
    const sums = new Float32Array(current.length);
    const counts = new Float32Array(current.length / 3);
    for (let n = 0; n < triangles.length; n += 3) {
      for (let corner = 0; corner < 3; corner++) {
        const vertex = triangles[n + corner]!;
        for (const other of [triangles[n + ((corner + 1) % 3)]!, triangles[n + ((corner + 2) % 3)]!]) {
          counts[vertex]!++;
          for (let axis = 0; axis < 3; axis++) sums[3 * vertex + axis]! += current[3 * other + axis]!;
        }
      }
    }
    current = current.map((value, n) => (value + sums[n]! / counts[Math.floor(n / 3)]!) / 2);
  }
  return current;
}

function normalsOf(positions: Float32Array, triangles: ArrayLike<number>): Float32Array {
  const normals = new Float32Array(positions.length);
  for (let n = 0; n < triangles.length; n += 3) {
    const [a, b, c] = [3 * triangles[n]!, 3 * triangles[n + 1]!, 3 * triangles[n + 2]!];
    const [uz, uy, ux] = [0, 1, 2].map((axis) => positions[b + axis]! - positions[a + axis]!) as [number, number, number];
    const [vz, vy, vx] = [0, 1, 2].map((axis) => positions[c + axis]! - positions[a + axis]!) as [number, number, number];
    const normal = [ux * vy - uy * vx, uz * vx - ux * vz, uy * vz - uz * vy];
    for (const start of [a, b, c]) for (let axis = 0; axis < 3; axis++) normals[start + axis]! += normal[axis]!;
  }
  for (let n = 0; n < normals.length; n += 3) {
    const length = Math.hypot(normals[n]!, normals[n + 1]!, normals[n + 2]!) || 1;
    for (let axis = 0; axis < 3; axis++) normals[n + axis]! /= length;
  }
  return normals;
}
