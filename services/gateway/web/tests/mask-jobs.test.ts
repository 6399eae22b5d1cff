import assert from "node:assert/strict";
import test from "node:test";
import type { JobsQuery } from "../src/api/client.ts";
import type { Job } from "../src/api/types.ts";
import { findMaskJobs } from "../src/new/mask-jobs.ts";

const job = (id: string, ...names: string[]) =>
  ({ job_id: id, state: "completed", artifacts: names.map((name) => ({ name })) }) as unknown as Job;

// All pages of the gateway are searched for completed jobs with a mask, up to a number of them.
test("jobs with a mask", async () => {
  const { signal } = new AbortController();
  const asked: JobsQuery[] = [];
  const pages = [[job("a", "mask.mrc"), job("b", "picks.csv")], [job("c", "mask_r1.mrc", "mask.mrc")]];
  const list = (query: JobsQuery) => {
    asked.push(query);
    const n = Number(query.cursor ?? 0);
    return Promise.resolve({ jobs: pages[n]!, cursor: n + 1 < pages.length ? String(n + 1) : null });
  };
  const found = await findMaskJobs(" lamella ", signal, list);
  assert.deepEqual([found.jobs.map(({ job_id: id }) => id), found.more], [["a", "c"], false]);
  assert.deepEqual(asked, [
    { state: "completed", limit: 100, search: "lamella" },
    { state: "completed", limit: 100, search: "lamella", cursor: "1" },
  ]);
  const full = Array.from({ length: 100 }, (_, n) => job(String(n), "mask.mrc"));
  const many = await findMaskJobs("", signal, () => Promise.resolve({ jobs: full, cursor: "next" }));
  assert.deepEqual([many.jobs.length, many.more], [100, true]);
  let calls = 0;
  const none = await findMaskJobs("", signal, () => Promise.resolve({ jobs: [], cursor: String(++calls) }));
  assert.deepEqual([none, calls], [{ jobs: [], more: true }, 5]);
});
