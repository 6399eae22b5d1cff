// The labels of which surfaces are made: of a level that is small enough. Pure.

import type { Triple } from "../api/types.ts";
import type { Voxels, ZarrImage, ZarrLevel } from "./zarr.ts";
import { chunkKey } from "./zarr.ts";

export interface LabelVolume {
  /** In C order. */
  labels: ArrayLike<number>;
  shape: Triple;
  /** Voxels of full resolution that a voxel covers. */
  factors: Triple;
}

const VOXELS_MAX = 6_000_000;

/** The finest level with few enough voxels for surfaces. */
export function surfaceLevel({ levels }: ZarrImage): ZarrLevel {
  return levels.find(({ shape }) => shape[0] * shape[1] * shape[2] <= VOXELS_MAX) ?? levels.at(-1)!;
}

/** Positions of all chunks of a level. */
export function allChunks(level: ZarrLevel): Triple[] {
  const [depth, height, width] = level.shape.map((side, axis) => Math.ceil(side / level.chunkShape[axis]!)) as [number, number, number];
  return Array.from({ length: depth * height * width }, (_, n): Triple => [
    Math.floor(n / (height * width)),
    Math.floor(n / width) % height,
    n % width,
  ]);
}

/** Put the chunks of a level together; null while one is missing. */
export function assemble(level: ZarrLevel, get: (key: string) => Voxels | undefined): Float32Array | null {
  const { shape, chunkShape } = level;
  const whole = new Float32Array(shape[0] * shape[1] * shape[2]);
  for (const position of allChunks(level)) {
    const chunk = get(chunkKey(level, position));
    if (!chunk) return null;
    const [z0, y0, x0] = position.map((n, axis) => n * chunkShape[axis]!) as [number, number, number];
    const length = Math.min(chunkShape[2], shape[2] - x0);
    for (let z = z0; z < Math.min(z0 + chunkShape[0], shape[0]); z++) {
      for (let y = y0; y < Math.min(y0 + chunkShape[1], shape[1]); y++) {
        const from = ((z - z0) * chunkShape[1] + y - y0) * chunkShape[2];
        whole.set(chunk.subarray(from, from + length), (z * shape[1] + y) * shape[2] + x0);
      }
    }
  }
  return whole;
}

export interface Box {
  from: [number, number, number];
  /** One behind the last. */
  to: [number, number, number];
  count: number;
}

/** The boxes in which the labels are. */
export function labelBoxes(labels: ArrayLike<number>, [depth, height, width]: Triple): Map<number, Box> {
  const boxes = new Map<number, Box>();
  let n = 0;
  for (let z = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, n++) {
        const label = labels[n]!;
        if (label === 0) continue;
        let box = boxes.get(label);
        if (!box) {
          box = { from: [z, y, x], to: [z + 1, y + 1, x + 1], count: 0 };
          boxes.set(label, box);
        }
        box.count++;
        if (y < box.from[1]) box.from[1] = y;
        if (x < box.from[2]) box.from[2] = x;
        if (z >= box.to[0]) box.to[0] = z + 1;
        if (y >= box.to[1]) box.to[1] = y + 1;
        if (x >= box.to[2]) box.to[2] = x + 1;
      }
    }
  }
  return boxes;
}

/** Cut a box out of a volume. */
export function cropped(labels: ArrayLike<number>, shape: Triple, { from, to }: Box): { labels: Uint16Array; shape: Triple } {
  const size: Triple = [to[0] - from[0], to[1] - from[1], to[2] - from[2]];
  const found = new Uint16Array(size[0] * size[1] * size[2]);
  let n = 0;
  for (let z = from[0]; z < to[0]; z++) {
    for (let y = from[1]; y < to[1]; y++) {
      const row = (z * shape[1] + y) * shape[2];
      for (let x = from[2]; x < to[2]; x++) found[n++] = labels[row + x]!;
    }
  }
  return { labels: found, shape: size };
}
