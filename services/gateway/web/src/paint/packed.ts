// Voxels that were painted in the desktop: base64 of a zlib stream of variable-length integers (LEB128).

import type { Triple } from "../api/types.ts";

export interface PackedVoxels {
  label: number;
  /** z, y, x of each, one after the other. */
  voxels: Int32Array;
}

/**
 * Unpack them.
 *
 * @throws {Error} They are damaged.
 */
export async function unpacked(text: string, shape: Triple): Promise<PackedVoxels[]> {
  if (text === "") return [];
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return runs(new Uint8Array(await new Response(stream).arrayBuffer()), shape);
}

/** For each label: its number, the count of its runs along x, and of each the gap before it and its length less 1. */
function runs(bytes: Uint8Array, [, height, width]: Triple): PackedVoxels[] {
  const numbers = integers(bytes);
  const found: PackedVoxels[] = [];
  for (let at = 0; at < numbers.length; ) {
    const label = numbers[at++]!;
    const end = at + 1 + 2 * numbers[at]!;
    const voxels: number[] = [];
    let voxel = 0;
    for (at++; at < end; at += 2) {
      voxel += numbers[at]!;
      for (let left = numbers[at + 1]!; left >= 0; left--, voxel++) {
        const row = Math.floor(voxel / width);
        voxels.push(Math.floor(row / height), row % height, voxel % width);
      }
    }
    found.push({ label, voxels: Int32Array.from(voxels) });
  }
  return found;
}

function integers(bytes: Uint8Array): number[] {
  const found: number[] = [];
  let value = 0;
  let factor = 1;
  for (const byte of bytes) {
    value += (byte & 0x7f) * factor;
    factor *= 128;
    if (byte < 0x80) {
      found.push(value);
      [value, factor] = [0, 1];
    }
  }
  return found;
}
