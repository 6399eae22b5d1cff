import assert from "node:assert/strict";
import test from "node:test";
import type { Frame } from "../src/api/frames.ts";
import type { Triple } from "../src/api/types.ts";
import { frameSection } from "../src/viewer/frame-section.ts";
import { AXES, planeAxes } from "../src/viewer/geometry.ts";
import { chunksOf, densitySection, keysOf, labelSection, neighbourKeys, sectionRequest, valueAt } from "../src/viewer/section.ts";
import { type Voxels, type ZarrLevel, chunkKey } from "../src/viewer/zarr.ts";

const SHAPE: Triple = [5, 7, 9];
const LEVEL: ZarrLevel = { path: "0", shape: SHAPE, chunkShape: [2, 4, 4], dtype: "float32", gzip: false, factors: [1, 1, 1] };
const ALL = { down: [0, 99], right: [0, 99] } as { down: [number, number]; right: [number, number] };
const value = (z: number, y: number, x: number) => 100 * z + 10 * y + x;

/** The chunks of a volume whose voxels are known, padded with zeros as the gateway pads them. */
function chunksOfVolume(level: ZarrLevel, voxel: (z: number, y: number, x: number) => number): Map<string, Voxels> {
  const found = new Map<string, Voxels>();
  const side = level.chunkShape;
  for (let cz = 0; cz * side[0] < level.shape[0]; cz++) {
    for (let cy = 0; cy * side[1] < level.shape[1]; cy++) {
      for (let cx = 0; cx * side[2] < level.shape[2]; cx++) {
        const chunk = new Float32Array(side[0] * side[1] * side[2]);
        for (let n = 0; n < chunk.length; n++) {
          const z = cz * side[0] + Math.floor(n / (side[1] * side[2]));
          const y = cy * side[1] + (Math.floor(n / side[2]) % side[1]);
          const x = cx * side[2] + (n % side[2]);
          if (z < level.shape[0] && y < level.shape[1] && x < level.shape[2]) chunk[n] = voxel(z, y, x);
        }
        found.set(chunkKey(level, [cz, cy, cx]), chunk);
      }
    }
  }
  return found;
}

const CHUNKS = chunksOfVolume(LEVEL, value);
const get = (key: string) => CHUNKS.get(key);

for (const axis of AXES) {
  // A section has the voxels of its plane, row by row, whatever chunks they are in.
  test(`densities along axis ${axis}`, () => {
    const { down, right } = planeAxes(axis);
    const section = densitySection(sectionRequest(LEVEL, axis, [3, 3], ALL), get);
    assert.deepEqual([section.width, section.height, section.complete], [SHAPE[right], SHAPE[down], true]);
    section.values.forEach((found, n) => {
      const at = [0, 0, 0] as [number, number, number];
      at[axis] = 3;
      at[down] = Math.floor(n / section.width);
      at[right] = n % section.width;
      assert.equal(found, value(...at));
    });
  });

  // A slab of densities is their mean, one of labels their largest.
  test(`slabs along axis ${axis}`, () => {
    const request = sectionRequest(LEVEL, axis, [1, 3], ALL);
    const single = densitySection(sectionRequest(LEVEL, axis, [2, 2], ALL), get);
    assert.deepEqual(densitySection(request, get).values, single.values);
    const last = densitySection(sectionRequest(LEVEL, axis, [3, 3], ALL), get);
    assert.deepEqual([...labelSection(request, get).values], [...last.values]);
  });

  // A slice of a preview is the plane that its factor makes of the tomogram's section.
  test(`previews along axis ${axis}`, () => {
    const shape: Triple = [3, 4, 5];
    const labels = Uint8Array.from({ length: 60 }, (_, n) => n % 16);
    const frame = { packed: labels, buffer: { shape, bits: 8 }, scale: [2, 2, 2] } as unknown as Frame;
    const { down, right } = planeAxes(axis);
    const section = frameSection(frame, axis, [3, 3]);
    assert.deepEqual([section.width, section.height], [shape[right], shape[down]]);
    section.values.forEach((found, n) => {
      const at = [0, 0, 0] as [number, number, number];
      at[axis] = 1;
      at[down] = Math.floor(n / section.width);
      at[right] = n % section.width;
      assert.equal(found, labels[(at[0] * 4 + at[1]) * 5 + at[2]]);
    });
  });
}

// Where a chunk is missing there is no density, and the section says that it is not complete.
test("a missing chunk", () => {
  const request = sectionRequest(LEVEL, 0, [0, 0], ALL);
  const missing = chunkKey(LEVEL, [0, 0, 0]);
  const section = densitySection(request, (key) => (key === missing ? undefined : get(key)));
  assert.equal(section.complete, false);
  assert.ok(Number.isNaN(section.values[0]));
  assert.equal(section.values[4], value(0, 0, 4));
});

// Only chunks in view are asked for, the ones in the middle first, and small movements ask for the same ones.
test("chunks in view", () => {
  const request = sectionRequest(LEVEL, 0, [4, 4], { down: [1, 3], right: [5, 9] });
  assert.deepEqual(keysOf(request), ["0/c/2/0/1", "0/c/2/0/2"]);
  assert.deepEqual(sectionRequest(LEVEL, 0, [4, 4], { down: [0, 4], right: [4, 9] }), request);
  assert.deepEqual(chunksOf(sectionRequest(LEVEL, 0, [0, 0], ALL))[0], [0, 0, 1]);
  assert.deepEqual(neighbourKeys(request), ["0/c/1/0/1", "0/c/1/0/2"]);
});

// A coarser level covers the same part of the volume.
test("a coarser level", () => {
  const coarse: ZarrLevel = { ...LEVEL, path: "1", shape: [3, 4, 5], factors: [2, 2, 2] };
  const request = sectionRequest(coarse, 0, [4, 4], { down: [0, 7], right: [0, 9] });
  assert.deepEqual([request.planes, request.window], [[2, 2], { down: [0, 4], right: [0, 5] }]);
});

// The value of a voxel is known where its chunk is.
test("values", () => {
  assert.equal(valueAt(LEVEL, [4, 6, 8], get), value(4, 6, 8));
  assert.equal(valueAt(LEVEL, [4, 6, 8], () => undefined), undefined);
});
