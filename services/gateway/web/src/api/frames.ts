// Preview frames: the mask of a running job, downsampled, as binary messages. Pure.

import type { Triple } from "./types.ts";

export type Labels = Uint8Array | Uint16Array;

export interface FrameHeader {
  job_id: string;
  seq: number;
  attempt: number;
  /** Shape of the tomogram (z, y, x). */
  volume_shape: Triple;
  /** Tomogram voxels per preview voxel (z, y, x). */
  scale: Triple;
  /** Voxel size of the tomogram in ångström (z, y, x). */
  voxel_size_A: Triple;
  progress: number;
  engine: string;
  /** Names of the labels, by number. */
  labels: Record<string, string>;
  final: boolean;
  coarse: boolean;
  buffer: { shape: Triple; bits: number; codec: string; dtype: string };
}

export interface Frame extends FrameHeader {
  /** Labels of `buffer.shape` in C order, packed to `buffer.bits` each; `unpackLabels` unpacks them. */
  packed: Uint8Array;
}

export interface PackedFrame {
  header: FrameHeader;
  payload: Uint8Array<ArrayBuffer>;
}

/** Split a message into header and payload: four bytes of length, that many bytes of JSON, and the rest. */
export function parseFrame(message: ArrayBuffer): PackedFrame {
  const size = new DataView(message).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(message, 4, size))) as FrameHeader;
  return { header, payload: new Uint8Array(message, 4 + size) };
}

/** Decompress a frame. */
export async function decodeFrame({ header, payload }: PackedFrame): Promise<Frame> {
  return { ...header, packed: await decompress(payload, header.buffer.codec) };
}

/** Return the label of a voxel. */
export function labelAt(packed: Uint8Array, voxel: number, bits: number): number {
  if (bits === 8) return packed[voxel]!;
  if (bits === 16) return packed[2 * voxel]! | (packed[2 * voxel + 1]! << 8);
  const bit = voxel * bits;
  return (packed[bit >> 3]! >> (bit & 7)) & ((1 << bits) - 1);
}

/** Return the labels of a frame, one number for each voxel. */
export function frameLabels({ packed, buffer }: Frame): Labels {
  return unpackLabels(packed, buffer.shape[0] * buffer.shape[1] * buffer.shape[2], buffer.bits);
}

/** Decompress bytes; `codec` is "raw" or a format of `DecompressionStream`. */
export async function decompress(payload: Uint8Array<ArrayBuffer>, codec: string): Promise<Uint8Array<ArrayBuffer>> {
  if (codec === "raw") return payload;
  const stream = new Blob([payload]).stream().pipeThrough(new DecompressionStream(codec as CompressionFormat));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Unpack labels: below eight bits, the first is in the lowest bits of the first byte; 16 bits are little-endian. */
export function unpackLabels(packed: Uint8Array, count: number, bits: number): Labels {
  if (bits === 8) return packed.subarray(0, count);
  if (bits === 16) return unpack16(packed, count);
  const perByte = 8 / bits;
  const mask = (1 << bits) - 1;
  const labels = new Uint8Array(count);
  const whole = Math.floor(count / perByte);
  for (let byte = 0, voxel = 0; byte < whole; byte++) {
    let rest = packed[byte]!;
    // Most of a mask is background, which the array holds already.
    if (rest === 0) {
      voxel += perByte;
      continue;
    }
    for (let place = 0; place < perByte; place++, voxel++, rest >>= bits) labels[voxel] = rest & mask;
  }
  for (let voxel = whole * perByte; voxel < count; voxel++) {
    labels[voxel] = (packed[whole]! >> (bits * (voxel - whole * perByte))) & mask;
  }
  return labels;
}

function unpack16(packed: Uint8Array, count: number): Uint16Array {
  const view = new DataView(packed.buffer, packed.byteOffset, 2 * count);
  return Uint16Array.from({ length: count }, (_, voxel) => view.getUint16(2 * voxel, true));
}
