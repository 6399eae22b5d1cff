import assert from "node:assert/strict";
import test from "node:test";
import type { Triple } from "../src/api/types.ts";
import { KeptPainting } from "../src/paint/kept.ts";
import { unpacked } from "../src/paint/packed.ts";
import {
  covers,
  isEnough,
  noStrokes,
  readStrokes,
  renamed,
  sameStrokes,
  sendable,
  simplified,
  used,
  voxelsOf,
  withLabel,
} from "../src/paint/strokes.ts";

const SHAPE: Triple = [4, 20, 30];
const line = (label: number, radius: number, ...points: Triple[]) => ({ label, radius, points });
const triples = (voxels: Int32Array) => Array.from({ length: voxels.length / 3 }, (_, n) => [...voxels.slice(3 * n, 3 * n + 3)]);

// A brush paints a disc, cut off at the edges of the tomogram; a line is a disc around each of its voxels.
test("voxels of a line", () => {
  const dot = triples(voxelsOf(line(1, 1, [2, 5, 5]), SHAPE));
  assert.deepEqual(dot, [[2, 4, 5], [2, 5, 4], [2, 5, 5], [2, 5, 6], [2, 6, 5]]);
  assert.equal(voxelsOf(line(1, 3, [2, 10, 10]), SHAPE).length / 3, 29);
  assert.deepEqual(triples(voxelsOf(line(1, 1, [0, 0, 0]), SHAPE)), [[0, 0, 0], [0, 0, 1], [0, 1, 0]]);
  // Halves go to the even neighbour, as on the server.
  assert.deepEqual(triples(voxelsOf(line(1, 0, [1, 0, 0], [1, 1, 2]), SHAPE)), [[1, 0, 0], [1, 0, 1], [1, 1, 2]]);
  assert.ok(covers(line(1, 1, [2, 5, 5]), SHAPE, [2, 6, 5]) && !covers(line(1, 1, [2, 5, 5]), SHAPE, [1, 5, 5]));
});

// What the pointer drew is described by few points, none of which is far from what is left out.
test("a line is simplified", () => {
  const drawn = Array.from({ length: 50 }, (_, x): Triple => [3, Math.round(8 + 6 * Math.sin(x / 8)), x]);
  const kept = simplified(drawn);
  assert.ok(kept.length < 20 && kept[0] === drawn[0] && kept.at(-1) === drawn.at(-1));
  const near = new Set(triples(voxelsOf(line(1, 1, ...kept), [4, 20, 50])).map(String));
  assert.ok(drawn.every((point) => near.has(String([...point]))));
  assert.deepEqual(simplified([[1, 2, 3]]), [[1, 2, 3]]);
});

// Two labels are needed; a label that was added has a name and a colour; an emptied name has its first one again.
test("a record of strokes", () => {
  const none = noStrokes(SHAPE);
  assert.ok(!isEnough(none) && !isEnough({ ...none, lines: [line(1, 1, [0, 0, 0])] }));
  const two = { ...none, lines: [line(1, 1, [0, 0, 0]), line(0, 1, [0, 9, 9])] };
  assert.ok(isEnough(two) && isEnough({ ...none, voxels: "eJw=" }));
  const added = withLabel(none);
  assert.deepEqual(added.labels.map(({ name }) => name), ["background", "label 1", "label 2"]);
  assert.equal(new Set(added.labels.map(({ colour }) => colour)).size, 3);
  assert.deepEqual(sendable(renamed(added, 1, "  ")).labels, added.labels);
  assert.ok(sameStrokes(readStrokes(JSON.parse(JSON.stringify(two))), two) && !sameStrokes(two, none) && !sameStrokes(two, null));
  assert.equal(readStrokes(null), null);
  assert.ok(used(two) < 0.02 && used({ ...two, voxels: "x".repeat(20_000) }) > 1);
  let many = none;
  for (let n = 0; n < 20; n++) many = withLabel(many);
  assert.equal(many.labels.length, 16);
});

// Made by the desktop's packing: Strokes.of_voxels((4, 20, 30), …, [(0,0,1), (0,0,2), (3,19,29), (1,2,3)], [1, 1, 1, 2]).
test("packed voxels", async () => {
  const found = await unpacked(PACKED, SHAPE);
  assert.deepEqual(found.map(({ label, voxels }) => [label, triples(voxels)]), [
    [1, [[0, 0, 1], [0, 0, 2], [3, 19, 29]]],
    [2, [[1, 2, 3]]],
  ]);
  assert.deepEqual(await unpacked("", SHAPE), []);
});
const PACKED = "eNpjZGJkvCPEwMQ4nZUBAAl8AZM=";

test("what is painted outlasts the page in a text of bounded length", () => {
  const stored = new Map<string, string>();
  const storage = {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: (key: string, text: string) => void stored.set(key, text),
    removeItem: (key: string) => void stored.delete(key),
  };
  const before = new KeptPainting();
  before.keepIn(storage);
  const line = { label: 1, radius: 3, points: Array.from({ length: 900 }, (_, n) => [1, n, n] as const) };
  const strokes = { ...noStrokes([8, 1000, 1000]), lines: [line] };
  const done = Array.from({ length: 200 }, () => strokes);
  for (let n = 0; n < 20; n++) before.put(`job${n}`, { strokes, done, label: 1, radius: 3, live: true });
  before.begin("job19");
  assert.ok([...stored.values()].join("").length <= 500_000);
  const after = new KeptPainting();
  after.keepIn(storage);
  assert.deepEqual(after.of("job19")?.strokes, strokes);
  assert.equal(after.of("job0"), undefined);
  assert.ok(after.isToPaintOn("job19"));
  after.clear();
  const third = new KeptPainting();
  third.keepIn(storage);
  assert.equal(third.of("job19"), undefined);
});
