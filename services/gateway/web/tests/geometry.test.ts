import assert from "node:assert/strict";
import test from "node:test";
import type { Triple } from "../src/api/types.ts";
import {
  AXES,
  type Axis,
  chooseLevel,
  extent,
  fitted,
  lengthText,
  panned,
  planeAxes,
  scaleBar,
  slabRange,
  toPoint,
  toVoxel,
  visibleWindow,
  zoomed,
} from "../src/viewer/geometry.ts";

const GRID = { shape: [100, 200, 400] as Triple, voxelSize: [20, 10, 10] as Triple };
const SIZE = { width: 600, height: 300 };

// A point of the view is the same voxel after going there and back, for each axis and any camera.
for (const axis of AXES) {
  test(`points of axis ${axis}`, () => {
    const camera = zoomed(fitted(GRID, axis, SIZE), 3.7, { x: 10, y: 20 }, SIZE, GRID);
    for (const point of [{ x: 0, y: 0 }, { x: 123, y: 45 }]) {
      const back = toPoint(camera, toVoxel(camera, point, SIZE, GRID, axis), SIZE, GRID, axis);
      assert.ok(Math.hypot(back.x - point.x, back.y - point.y) < 1e-9);
    }
  });

  // All of the section is in view at first, and lengths have the same scale in both directions.
  test(`the whole section of axis ${axis}`, () => {
    const camera = fitted(GRID, axis, SIZE);
    const { down, right } = planeAxes(axis);
    assert.deepEqual(visibleWindow(camera, SIZE, GRID, axis), {
      down: [0, GRID.shape[down]],
      right: [0, GRID.shape[right]],
    });
    const [start, end] = [[0, 0], [GRID.shape[down], GRID.shape[right]]].map((at) =>
      toPoint(camera, at as [number, number], SIZE, GRID, axis),
    ) as [{ x: number; y: number }, { x: number; y: number }];
    assert.ok(Math.abs((end.x - start.x) / extent(GRID, right) - (end.y - start.y) / extent(GRID, down)) < 1e-12);
  });
}

// What is under the pointer stays there while one zooms.
test("zoom", () => {
  const camera = fitted(GRID, 0, SIZE);
  const point = { x: 77, y: 211 };
  const before = toVoxel(camera, point, SIZE, GRID, 0);
  const after = toVoxel(zoomed(camera, 2.5, point, SIZE, GRID), point, SIZE, GRID, 0);
  assert.ok(before.every((at, n) => Math.abs(at - after[n]!) < 1e-9));
});

// The middle of the view never leaves the volume.
test("pan", () => {
  const far = panned(fitted(GRID, 0, SIZE), -1e6, 1e6, GRID, 0);
  assert.deepEqual([far.right, far.down], [extent(GRID, 2), 0]);
});

// A level is as coarse as the screen allows, and full resolution is chosen when voxels are larger than pixels.
test("levels", () => {
  const factors: Triple[] = [[1, 1, 1], [2, 2, 2], [4, 4, 4]];
  const level = (scale: number, density = 1) =>
    chooseLevel(factors, { down: 0, right: 0, scale }, GRID, 0 as Axis, density);
  assert.equal(level(1), 0);
  assert.equal(level(0.1), 0);
  assert.equal(level(0.05), 1);
  assert.equal(level(0.05, 2), 0);
  assert.equal(level(0.001), 2);
});

// A slab is that of the server: the section is in the middle, or one before it.
test("slabs", () => {
  assert.deepEqual(slabRange(50, 1, 100), [50, 50]);
  assert.deepEqual(slabRange(50, 5, 100), [48, 52]);
  assert.deepEqual(slabRange(50, 4, 100), [49, 52]);
  assert.deepEqual(slabRange(0, 5, 100), [0, 2]);
  assert.deepEqual(slabRange(99, 5, 100), [97, 99]);
});

// A scale bar has a round length that fits.
test("scale bar", () => {
  assert.deepEqual(scaleBar(1, 160), { nm: 100, pixels: 100 });
  assert.deepEqual(scaleBar(0.3, 160), { nm: 500, pixels: 150 });
  assert.equal(lengthText(2000), "2 µm");
  assert.equal(lengthText(50), "50 nm");
});
