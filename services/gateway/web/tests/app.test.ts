import assert from "node:assert/strict";
import test from "node:test";
import { parseRoute } from "../src/app/route.ts";
import { estimateTexts, printable } from "../src/app/text.ts";
import { liveUrl } from "../src/api/live.ts";
import { Backoff } from "../src/api/backoff.ts";

// The address names the page, also as earlier versions wrote it; what names nothing is the list.
test("routes", () => {
  assert.deepEqual(parseRoute("#/jobs/a-b"), { page: "job", jobId: "a-b" });
  assert.deepEqual(parseRoute("#/jobs/%zz"), { page: "job", jobId: "%zz" });
  assert.deepEqual(parseRoute("#/new"), { page: "new" });
  assert.deepEqual(parseRoute("#0f8fad5b-d9cb-469f-a165-70867728950e"), {
    page: "job",
    jobId: "0f8fad5b-d9cb-469f-a165-70867728950e",
  });
  for (const hash of ["", "#", "#/", "#/jobs/", "#/elsewhere"]) assert.deepEqual(parseRoute(hash), { page: "jobs", query: "" });
});

// A mark that reverses a line is shown and has no effect.
test("printable", () => {
  assert.equal(printable("a\u202eb\x1b"), "a\\u{202e}b\\u{1b}");
  assert.equal(printable("naïve μm 中文"), "naïve μm 中文");
});

// Numbers are shown as people read them.
test("numbers", () => {
  assert.deepEqual(estimateTexts("tilt_range_deg", 60), ["Tilt range", "±60°"]);
  assert.deepEqual(estimateTexts("contrast_margin", 0.12345), ["Contrast margin", "0.123"]);
});

// The connection is encrypted where the page is.
test("live url", () => {
  assert.equal(liveUrl({ protocol: "https:", host: "em.example.org" }), "wss://em.example.org/v1/ws");
  assert.equal(liveUrl({ protocol: "http:", host: "127.0.0.1:8000" }), "ws://127.0.0.1:8000/v1/ws");
});

// Tries become rarer up to a bound, and frequent again after a success.
test("backoff", () => {
  const backoff = new Backoff(500, 1500);
  assert.deepEqual([backoff.wait(), backoff.wait(), backoff.wait(), backoff.wait()], [500, 1000, 1500, 1500]);
  backoff.reset();
  assert.equal(backoff.wait(), 500);
});
