import assert from "node:assert/strict";
import test from "node:test";
import { heatColour, toHeat } from "../src/viewer/heat.ts";

const drawn = (values: number[], opacity: number) => {
  const pixels = new Uint32Array(values.length);
  toHeat(Float32Array.from(values), opacity, pixels);
  return [...new Uint8ClampedArray(pixels.buffer)];
};

// What is certain, or not there yet, is seen through; what is uncertain is as opaque as the visitor wants.
test("opacity grows with the uncertainty", () => {
  const pixels = drawn([0, Number.NaN, 50, 100], 0.5);
  assert.deepEqual([3, 7, 11, 15].map((n) => pixels[n]), [0, 0, 64, 128]);
  assert.deepEqual(pixels.slice(12, 15), [252, 255, 164]);
});

// Colours are those of the ends of the ramp, and become lighter all the way.
test("the more uncertain, the lighter", () => {
  assert.deepEqual(heatColour(0), [87, 16, 110]);
  assert.deepEqual(heatColour(100), [252, 255, 164]);
  const light = Array.from({ length: 101 }, (_, n) => heatColour(n)).map(([r, g, b]) => 0.3 * r + 0.59 * g + 0.11 * b);
  for (let n = 1; n < light.length; n++) assert.ok(light[n]! >= light[n - 1]!);
  assert.deepEqual(heatColour(-5), heatColour(0));
  assert.deepEqual(heatColour(180), heatColour(100));
});
