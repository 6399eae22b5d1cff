import assert from "node:assert/strict";
import test from "node:test";
import type { Volume } from "../src/api/types.ts";
import { ChunkStore } from "../src/viewer/chunk-store.ts";
import { circlesIn, countText, linesIn, parsePicks } from "../src/viewer/picks.ts";
import { type LoadedSlice, SliceLoader, type SliceQuery, isLarge, sectionAhead, sliceDensities, sliceUrl, wholeRequest } from "../src/viewer/slice-source.ts";
import { surfaceOf } from "../src/viewer/surface-nets.ts";
import { allChunks, assemble, cropped, labelBoxes } from "../src/viewer/surface-source.ts";
import { chunkKey, decodeChunk, parseHierarchy } from "../src/viewer/zarr.ts";

const array = (shape: number[], type = "int16", gzip = false) => ({
  node_type: "array" as const,
  shape,
  data_type: type,
  chunk_grid: { configuration: { chunk_shape: shape.map((side) => Math.min(side, 64)) } },
  codecs: gzip ? [{ name: "bytes" }, { name: "gzip" }] : [{ name: "bytes" }],
});
const group = (...paths: string[]) => ({
  node_type: "group" as const,
  attributes: { ome: { multiscales: [{ datasets: paths.map((path) => ({ path })) }] } },
});
const ROOT = {
  ...group("0", "1"),
  consolidated_metadata: {
    metadata: {
      "0": array([60, 200, 130]),
      "1": array([60, 100, 65]),
      labels: { node_type: "group" as const },
      "labels/mask": group("0"),
      "labels/mask/0": array([60, 200, 130], "uint8", true),
    },
  },
};

// A hierarchy has its images with their levels; an axis that was not halved keeps its factor.
test("hierarchy", async () => {
  const images = parseHierarchy(ROOT);
  assert.deepEqual([...images.keys()], ["", "labels/mask"]);
  const [fine, coarse] = images.get("")!.levels;
  assert.deepEqual([fine!.factors, coarse!.factors], [[1, 1, 1], [1, 2, 2]]);
  assert.equal(chunkKey(images.get("labels/mask")!.levels[0]!, [0, 1, 2]), "labels/mask/0/c/0/1/2");
  assert.throws(() => parseHierarchy({ ...group("0"), consolidated_metadata: { metadata: { "0": array([2, 2, 2], "complex64") } } }));
  assert.deepEqual([...(await decodeChunk(fine!, new Int16Array([1, -2]).buffer))], [1, -2]);
});

// A compressed chunk is decompressed.
test("gzip", async () => {
  const level = parseHierarchy(ROOT).get("labels/mask")!.levels[0]!;
  const packed = new Blob([new Uint8Array([1, 2, 3])]).stream().pipeThrough(new CompressionStream("gzip"));
  assert.deepEqual([...(await decodeChunk(level, await new Response(packed).arrayBuffer()))], [1, 2, 3]);
});

/** A loader whose requests the test answers. */
class Loader {
  readonly asked: string[] = [];
  readonly aborted: string[] = [];
  private readonly answers = new Map<string, { resolve(bytes: number): void; reject(error: unknown): void }>();

  load(key: string, signal: AbortSignal): Promise<Uint8Array> {
    this.asked.push(key);
    return new Promise((resolve, reject) => {
      this.answers.set(key, { resolve: (bytes) => resolve(new Uint8Array(bytes)), reject });
      signal.addEventListener("abort", () => {
        this.aborted.push(key);
        reject(new Error("aborted"));
      });
    });
  }

  retryMs(error: unknown): number | null {
    return error === "busy" ? 1 : null;
  }

  answer(key: string, bytes = 10): Promise<void> {
    this.answers.get(key)!.resolve(bytes);
    return settle();
  }

  refuse(key: string, error: unknown): Promise<void> {
    this.answers.get(key)!.reject(error);
    return settle();
  }
}

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

// Views take turns, requests have a limit, and what is wanted no more is cancelled.
test("the queue of chunks", async () => {
  const loader = new Loader();
  const store = new ChunkStore(loader, { maxBytes: 1000, parallel: 2 });
  store.want("one", ["a", "b", "c"]);
  store.want("other", ["d"]);
  assert.deepEqual(loader.asked, ["a", "b"]);
  await loader.answer("a");
  assert.deepEqual(loader.asked, ["a", "b", "d"]);
  store.want("one", ["a", "c"]);
  await settle();
  assert.deepEqual([loader.aborted, loader.asked.at(-1)], [["b"], "c"]);
  assert.ok(store.get("a") && !store.get("b"));
  store.close();
  assert.equal(store.bytes, 0);
});

// Memory has a bound: chunks used longest ago make room.
test("the memory of chunks", async () => {
  const loader = new Loader();
  const store = new ChunkStore(loader, { maxBytes: 25, parallel: 1 });
  for (const key of ["a", "b"]) {
    store.want("view", [key]);
    await loader.answer(key);
  }
  store.get("a");
  store.want("view", ["c"]);
  await loader.answer("c");
  assert.deepEqual(["a", "b", "c"].map((key) => store.get(key) !== undefined), [true, false, true]);
  assert.equal(store.bytes, 20);
});

// A chunk that a busy server refuses is asked for again; one that cannot be read is not, and the reason is kept.
test("chunks that fail", async () => {
  const loader = new Loader();
  const store = new ChunkStore(loader, { maxBytes: 100, parallel: 1 });
  store.want("view", ["a", "b"]);
  await loader.refuse("a", "busy");
  while (loader.asked.length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.deepEqual(loader.asked, ["a", "a"]);
  await loader.refuse("a", "unreadable");
  assert.equal(store.problem("a"), "unreadable");
  assert.deepEqual(loader.asked, ["a", "a", "b"]);
});

const TABLE = "z,y,x,z_A,y_A,x_A,score,label\n10,20,30,0,0,0,99.5,1\n12,21,31,0,0,0,,2\n";

// Picks are circles in the sections that cut their spheres.
test("particles", () => {
  const picks = parsePicks(TABLE);
  assert.deepEqual([picks.kind, picks.count, countText(picks)], ["particles", 2, "2 particles"]);
  assert.ok(Number.isNaN(picks.scores[1]));
  const found = circlesIn(picks, 0, 12, 30, [10, 10, 10]);
  assert.equal(found.length, 2);
  assert.deepEqual(found[1], { down: 21.5, right: 31.5, radius: 30, label: 2 });
  assert.ok(Math.abs(found[0]!.radius - Math.sqrt(900 - 400)) < 1e-6);
  assert.equal(circlesIn(picks, 0, 14, 30, [10, 10, 10]).length, 1);
  assert.throws(() => parsePicks("a,b\n1,2\n"));
});

// Points with the same number are a line, which is shown near to its section.
test("filaments", () => {
  const picks = parsePicks("z,y,x,score,label,track_A\n1,1,1,5,1,0\n2,2,2,5,1,10\n9,9,9,5,1,20\n1,5,5,5,2,0\n");
  assert.equal(countText(picks), "2 filaments, 4 points");
  const lines = linesIn(picks, 0, 1, 5, [10, 10, 10]);
  assert.deepEqual(lines, [{ from: [1.5, 1.5], to: [2.5, 2.5], label: 1 }]);
});

// The surface of a block is closed, its normals point outwards, and its volume is nearly that of the block.
test("surfaces", () => {
  const labels = new Uint8Array(1000);
  for (let n = 0; n < 1000; n++) {
    const at = [Math.floor(n / 100), Math.floor(n / 10) % 10, n % 10];
    if (at.every((side) => side >= 2 && side < 8)) labels[n] = 3;
  }
  const { positions, normals, triangles } = surfaceOf(labels, [10, 10, 10], 3, 0);
  const edges = new Map<string, number>();
  let volume = 0;
  for (let n = 0; n < triangles.length; n += 3) {
    const corners = [triangles[n]!, triangles[n + 1]!, triangles[n + 2]!];
    corners.forEach((corner, place) => {
      const key = `${corner}-${corners[(place + 1) % 3]}`;
      edges.set(key, (edges.get(key) ?? 0) + 1);
    });
    const [a, b, c] = corners.map((corner) => [positions[3 * corner + 2]!, positions[3 * corner + 1]!, positions[3 * corner]!]);
    volume += determinant(a!, b!, c!) / 6;
  }
  for (const [key, count] of edges) {
    assert.equal(count, 1);
    assert.ok(edges.has(key.split("-").reverse().join("-")), "a closed surface has each edge in both directions");
  }
  assert.ok(volume > 180 && volume <= 216, String(volume));
  for (let n = 0; n < positions.length; n += 3) {
    const outward = [0, 1, 2].reduce((sum, axis) => sum + normals[n + axis]! * (positions[n + axis]! - 5), 0);
    assert.ok(outward > 0);
  }
});

function determinant(a: number[], b: number[], c: number[]): number {
  return (
    a[0]! * (b[1]! * c[2]! - b[2]! * c[1]!) - a[1]! * (b[0]! * c[2]! - b[2]! * c[0]!) + a[2]! * (b[0]! * c[1]! - b[1]! * c[0]!)
  );
}

// Surfaces are made of the boxes around labels, put together from chunks.
test("parts of a mask", () => {
  const level = { path: "0", shape: [3, 4, 5], chunkShape: [2, 4, 3], dtype: "uint8", gzip: true, factors: [1, 1, 1] } as const;
  const chunks = new Map(allChunks(level).map((position) => [chunkKey(level, position), new Uint8Array(24).fill(1 + position[2])]));
  const whole = assemble(level, (key) => chunks.get(key))!;
  assert.deepEqual([...whole.slice(0, 5)], [1, 1, 1, 2, 2]);
  assert.equal(assemble(level, () => undefined), null);
  const box = labelBoxes(whole, level.shape).get(2)!;
  assert.deepEqual(box, { from: [0, 0, 3], to: [3, 4, 5], count: 24 });
  assert.deepEqual([...cropped(whole, level.shape, box).labels], Array(24).fill(2));
});

// Sections of large volumes are asked for at the size of the screen, with a range of densities that leaves room.
test("images of large volumes", () => {
  const volume = { shape: [1000, 2000, 3000], slice_url: "/slice" } as unknown as Volume;
  const query = { volume, axis: 1 as const, index: 7, thickness: 3, factor: 4, limits: { low: -1.5, high: 2 } };
  assert.equal(sliceUrl(query), "/slice?axis=y&index=7&thickness=3&size=750&low=-1.5&high=2");
  assert.ok(sliceUrl({ ...query, factor: 1000 }).includes("size=16&"));
  const level = parseHierarchy(ROOT).get("")!.levels[0]!;
  assert.equal(isLarge({ path: "", levels: [level] }), false);
  assert.equal(isLarge({ path: "", levels: [{ ...level, shape: [1024, 2048, 2560] }] }), true);
});

const SLICE: SliceQuery = {
  volume: { slice_url: "/slice", shape: [100, 20, 30] } as unknown as Volume,
  axis: 0,
  index: 50,
  thickness: 1,
  factor: 1,
  limits: { low: -100, high: 155 },
};

function sliceOf(query: SliceQuery, greys = [0, 255]): LoadedSlice {
  return { greys: Uint8Array.from(greys), limits: query.limits, request: wholeRequest(query, greys.length, 1), sampled: false };
}

// The section ahead is as far as the last step, in the same direction; after a jump the next one; none outside.
test("section ahead", () => {
  const at = (index: number) => ({ ...SLICE, index });
  const ahead = (index: number, before: number | null) => sectionAhead(at(index), before === null ? null : at(before))?.index;
  assert.deepEqual([ahead(50, null), ahead(50, 49), ahead(50, 51), ahead(50, 60), ahead(50, 5)], [51, 51, 49, 40, 51]);
  assert.deepEqual([ahead(99, 98), ahead(0, 1), ahead(50, 50)], [undefined, undefined, 51]);
  assert.equal(sectionAhead(SLICE, { ...SLICE, axis: 1, index: 2 })?.index, 51);
});

// The greys of an image are the densities between its limits.
test("slice densities", () => {
  const { values, width, height } = sliceDensities(sliceOf(SLICE, [0, 51, 255]));
  assert.deepEqual([[...values], width, height], [[-100, -49, 155], 3, 1]);
});

// The section ahead is loaded after the one that is shown, and is there at once when it is wanted; what is no longer
// wanted is cancelled, and asked for again if it is wanted again.
test("slice loader", async () => {
  const asked: number[] = [];
  const cancelled: number[] = [];
  const answers = new Map<number, () => void>();
  let shown = 0;
  const loader = new SliceLoader({
    load: (query, signal) => {
      asked.push(query.index);
      return new Promise((resolve, reject) => {
        answers.set(query.index, () => resolve(sliceOf(query)));
        signal.addEventListener("abort", () => {
          cancelled.push(query.index);
          reject(new Error("aborted"));
        });
      });
    },
    onLoaded: () => shown++,
    retryMs: () => null,
  });
  const answer = async (index: number) => {
    answers.get(index)!();
    await settle();
  };
  const want = (index: number) => loader.want({ ...SLICE, index });
  want(10);
  want(11);
  want(10);
  assert.deepEqual([asked, cancelled], [[10, 11, 10], [10, 11]]);
  await answer(10);
  assert.deepEqual([asked.at(-1), shown], [9, 1]);
  await answer(9);
  assert.deepEqual([shown, loader.loaded!.slice.request.planes], [1, [10, 10]]);
  want(9);
  assert.deepEqual([asked.at(-1), loader.loaded!.slice.request.planes], [8, [9, 9]]);
  // On the way: not asked for a second time.
  want(8);
  assert.deepEqual([asked.filter((index) => index === 8).length, loader.loaded!.slice.request.planes], [1, [9, 9]]);
  await answer(8);
  assert.deepEqual([shown, loader.loaded!.slice.request.planes], [2, [8, 8]]);
  loader.close();
});

// A sample is shown, and asked for again until it is none; one that nobody wants any more is not.
test("sampled slice", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const asked: number[] = [];
  let sampled = true;
  const settled = async () => {
    for (let n = 0; n < 5; n++) await Promise.resolve();
  };
  const loader = new SliceLoader({
    load: (query) => {
      asked.push(query.index);
      return Promise.resolve({ ...sliceOf(query), sampled });
    },
    onLoaded: () => {},
    retryMs: () => null,
  });
  const first = { ...SLICE, index: 99 };
  loader.want(first);
  await settled();
  const { key } = loader.loaded!;
  assert.deepEqual([asked, loader.loaded!.slice.sampled], [[99], true]);
  sampled = false;
  context.mock.timers.tick(2000);
  await settled();
  assert.deepEqual([asked, loader.loaded!.slice.sampled], [[99, 99], false]);
  assert.notEqual(loader.loaded!.key, key);
  sampled = true;
  loader.want({ ...SLICE, index: 0 });
  await settled();
  loader.want(first);
  context.mock.timers.tick(5000);
  await settled();
  assert.equal(asked.filter((index) => index === 0).length, 1);
});
