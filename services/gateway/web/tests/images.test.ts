import assert from "node:assert/strict";
import test from "node:test";
import { smooth } from "../src/viewer/filter.ts";
import { thresholded, toColours } from "../src/viewer/overlay.ts";
import { autoLimits, draggedLimits, histogram, toGrey } from "../src/viewer/tone.ts";

const grey = (values: number[], invert = false) => {
  const pixels = new Uint32Array(values.length);
  toGrey(Float32Array.from(values), { low: 0, high: 10 }, invert, pixels);
  return [...pixels].map((pixel) => (pixel === 0 ? null : pixel & 255));
};

// Black is at the lower limit and white at the upper one, and what is no number is transparent.
test("greys", () => {
  assert.deepEqual(grey([-5, 0, 5, 10, 99, Number.NaN]), [0, 0, 128, 255, 255, null]);
  assert.deepEqual(grey([0, 10], true), [255, 0]);
});

// Automatic limits leave out what is rare, and a constant image has limits too.
test("automatic limits", () => {
  const values = Float32Array.from({ length: 1000 }, (_, n) => n);
  values[0] = -1e6;
  assert.deepEqual(autoLimits(values), { low: 5, high: 995 });
  assert.deepEqual(autoLimits([3, 3, 3]), { low: 2.5, high: 3.5 });
  assert.equal(autoLimits([Number.NaN]), null);
});

// Dragging right narrows the range around its middle, dragging down makes the image darker.
test("dragged limits", () => {
  const narrow = draggedLimits({ low: 0, high: 10 }, 100, 0);
  assert.ok(narrow.low > 0 && narrow.high < 10 && Math.abs(narrow.low + narrow.high - 10) < 1e-9);
  assert.ok(draggedLimits({ low: 0, high: 10 }, 0, 30).low > 0);
});

// Every number is counted once, also outside of the range.
test("histogram", () => {
  const { counts } = histogram([-1, 0, 0.5, 1.5, 2.5, 9, Number.NaN], 0, 3, 3);
  assert.deepEqual([...counts], [3, 1, 2]);
});

// The filter keeps the sum of a peak and its symmetry, has the width that was asked for, and leaves a constant alone.
test("low-pass filter", () => {
  const side = 41;
  const values = new Float32Array(side * side);
  values[20 * side + 20] = 1;
  smooth(values, side, side, { down: 2, right: 2 });
  const sum = values.reduce((total, one) => total + one, 0);
  assert.ok(Math.abs(sum - 1) < 1e-5);
  assert.ok(Math.abs(values[20 * side + 17]! - values[23 * side + 20]!) < 1e-7);
  let spread = 0;
  values.forEach((one, n) => (spread += one * (Math.floor(n / side) - 20) ** 2));
  assert.ok(Math.abs(spread - 4) < 0.15, String(spread));
  const flat = new Float32Array(30).fill(7);
  smooth(flat, 6, 5, { down: 1.5, right: 3 });
  assert.ok(flat.every((one) => Math.abs(one - 7) < 1e-5));
});

// A filled mask has its colour inside, an outline only at its border, and hidden labels have none.
test("colours", () => {
  const labels = [0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0];
  const paint = (style: "fill" | "outline" | "both", hidden = false) => {
    const pixels = new Uint32Array(25);
    toColours(labels, 5, 5, { style, opacity: 1, colour: () => (hidden ? null : [10, 20, 30]) }, pixels);
    return pixels;
  };
  assert.equal(paint("fill")[12], 0xff1e140a);
  assert.equal(paint("outline")[12], 0x001e140a);
  assert.equal(paint("outline")[6], 0xff1e140a);
  assert.equal(paint("both")[12]! >>> 24, 115);
  assert.deepEqual([...paint("fill", true)], Array(25).fill(0));
  assert.equal(paint("fill")[0], 0);
});

// The mask of a threshold has the voxels that reach it.
test("threshold", () => {
  assert.deepEqual([...thresholded(Float32Array.from([0, 99, 100, 255, Number.NaN]), 100)], [0, 0, 1, 1, 0]);
});
