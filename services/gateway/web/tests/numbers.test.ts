import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ago,
  bytes,
  count,
  counted,
  duration,
  measured,
  percent,
  shapeText,
  timeLeft,
  voxelSizeText,
} from "../src/format/numbers.ts";

test("a size has three digits and a decimal prefix", () => {
  assert.deepEqual([0, 999, 1000, 13_500_000, 999_600, 1e10, 10_240_000_000].map(bytes), [
    "0 B",
    "999 B",
    "1 kB",
    "13.5 MB",
    "1 MB",
    "10 GB",
    "10.2 GB",
  ]);
});

test("large counts are grouped, and a noun follows its count", () => {
  assert.equal(count(1_234_567), "1\u202f234\u202f567");
  assert.equal(counted(1, "job"), "1 job");
  assert.equal(counted(2, "box", "boxes"), "2 boxes");
});

test("measured values have three digits and a true minus sign", () => {
  assert.deepEqual([0.012345, 48.6032, 59596.3, -1234.5, Number.NaN].map(measured), [
    "0.0123",
    "48.6",
    "59\u202f600",
    "−1\u202f230",
    "–",
  ]);
});

test("a share is whole above ten percent and keeps two digits below", () => {
  assert.deepEqual([0, 0.0356, 0.42, 1].map(percent), ["0 %", "3.6 %", "42 %", "100 %"]);
});

test("a duration has at most two units, and never sixty of one", () => {
  assert.deepEqual([0, 59.4, 59.6, 3599, 3600, 7500, 200_000].map(duration), [
    "0 s",
    "59 s",
    "1 min",
    "1 h",
    "1 h",
    "2 h 5 min",
    "2 days",
  ]);
});

test("the time left is rounded as people say it, and empty while it is unknown", () => {
  assert.deepEqual([null, 3, 22, 70].map(timeLeft), ["", "a few seconds left", "about 25 s left", "about 1 min left"]);
});

test("a time of today is given as its distance, an older one as its date", () => {
  const now = new Date("2026-11-30T12:00:00");
  const before = (seconds: number) => ago(new Date(now.getTime() - 1000 * seconds), now);
  assert.deepEqual([10, 120, 3 * 3600 + 600].map(before), ["just now", "2 min ago", "3 h ago"]);
  assert.equal(ago(new Date("2026-11-01T12:00:00"), now), "1 Nov");
  assert.equal(ago(new Date("2025-11-01T12:00:00"), now), "1 Nov 2025");
});

test("shapes and voxel sizes are written along z, y, x without the digits of binary numbers", () => {
  assert.equal(shapeText([96, 1920, 192]), "96 × 1\u202f920 × 192");
  assert.equal(voxelSizeText([13.680000305175781, 13.680000305175781, 13.680000305175781]), "13.68 Å");
  assert.equal(voxelSizeText([20, 10, 10]), "20 × 10 × 10 Å");
});
