// The gateway's OME-Zarr 0.5 as this page needs it: regular chunks, raw or gzip, little-endian. Pure but for decompression.

import { decompress } from "../api/frames.ts";
import type { Triple } from "../api/types.ts";

export type Voxels = Int8Array | Uint8Array | Int16Array | Uint16Array | Float32Array;

export interface ZarrLevel {
  /** Path of the array below the hierarchy's root. */
  path: string;
  shape: Triple;
  chunkShape: Triple;
  dtype: DataType;
  gzip: boolean;
  /** Voxels of full resolution that a voxel covers. */
  factors: Triple;
}

export interface ZarrImage {
  path: string;
  levels: ZarrLevel[];
}

type DataType = "int8" | "uint8" | "int16" | "uint16" | "float32";
const TYPES = { int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, float32: Float32Array };

interface ArrayDocument {
  node_type: "array";
  shape: number[];
  data_type: string;
  chunk_grid: { configuration: { chunk_shape: number[] } };
  codecs: { name: string }[];
}

interface GroupDocument {
  node_type: "group";
  attributes?: { ome?: { multiscales?: { datasets: { path: string }[] }[] } };
}

export interface RootDocument extends GroupDocument {
  consolidated_metadata?: { metadata: Record<string, ArrayDocument | GroupDocument> };
}

/** Return the images of a hierarchy by path; that at the root has an empty path. */
export function parseHierarchy(root: RootDocument): Map<string, ZarrImage> {
  const nodes = root.consolidated_metadata?.metadata ?? {};
  const found = new Map<string, ZarrImage>();
  for (const [path, node] of [["", root] as const, ...Object.entries(nodes)]) {
    const datasets = node.node_type === "group" ? node.attributes?.ome?.multiscales?.[0]?.datasets : undefined;
    if (!datasets) continue;
    const paths = datasets.map((dataset) => (path ? `${path}/${dataset.path}` : dataset.path));
    const arrays = paths.map((one) => nodes[one]).filter((one): one is ArrayDocument => one?.node_type === "array");
    if (arrays.length === paths.length) found.set(path, { path, levels: levelsOf(paths, arrays) });
  }
  return found;
}

function levelsOf(paths: string[], arrays: ArrayDocument[]): ZarrLevel[] {
  let factors: Triple = [1, 1, 1];
  return arrays.map((array, level) => {
    const shape = triple(array.shape);
    if (level > 0) {
      const finer = triple(arrays[level - 1]!.shape);
      factors = [0, 1, 2].map((n) => factors[n]! * (shape[n] === finer[n] ? 1 : 2)) as unknown as Triple;
    }
    if (!(array.data_type in TYPES)) throw new Error(`Voxels of type ${array.data_type} cannot be shown.`);
    return {
      path: paths[level]!,
      shape,
      chunkShape: triple(array.chunk_grid.configuration.chunk_shape),
      dtype: array.data_type as DataType,
      gzip: array.codecs.some(({ name }) => name === "gzip"),
      factors,
    };
  });
}

function triple(values: number[]): Triple {
  return [values[0]!, values[1]!, values[2]!];
}

export function chunkKey(level: ZarrLevel, position: Triple): string {
  return `${level.path}/c/${position.join("/")}`;
}

/** Return the voxels of a chunk. */
export async function decodeChunk(level: ZarrLevel, content: ArrayBuffer): Promise<Voxels> {
  const bytes = level.gzip ? (await decompress(new Uint8Array(content), "gzip")).buffer : content;
  // Every platform with a browser of these years is little-endian, as the chunks are.
  return new TYPES[level.dtype](bytes);
}

/** Bytes of a decoded chunk. */
export function chunkBytes(level: ZarrLevel): number {
  return level.chunkShape[0] * level.chunkShape[1] * level.chunkShape[2] * TYPES[level.dtype].BYTES_PER_ELEMENT;
}
