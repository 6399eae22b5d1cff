import assert from "node:assert/strict";
import { test } from "node:test";
import type { Job } from "../src/api/types.ts";
import { histogram, median } from "../src/job/histogram.ts";
import { filePurpose, inOrder } from "../src/job/artifacts.ts";
import { situation, eventText, priorityText, progressText } from "../src/job/states.ts";
import { componentValues, labelTable, picksText } from "../src/job/statistics.ts";
import {
  NO_FILTER,
  filterQuery,
  isFiltering,
  jobTitle,
  jobsQuery,
  matcher,
  occurring,
  parseFilter,
} from "../src/jobs/filters.ts";
import { goneJobs, newestFirst } from "../src/jobs/merge.ts";
import { NOTHING_LOADED, isLoaded, withFirst, withNext } from "../src/jobs/pages.ts";
import { scrollToRow, visibleRows } from "../src/jobs/window.ts";
import { jobRequest, refusal, templateOf } from "../src/new/request.ts";

const NOW = Date.parse("2026-11-30T12:00:00Z");

function job(changes: Partial<Job> = {}): Job {
  return {
    job_id: "00000000-0000-0000-0000-000000000001",
    state: "completed",
    name: "",
    engine: "membrane",
    params: {},
    volume: {
      name: "t1.mrc",
      shape: [8, 8, 8],
      voxel_size_A: [10, 10, 10],
      path: "/data/t1.mrc",
      file_id: null,
      job_id: null,
      dtype: "float32",
      warnings: [],
    },
    priority: 0,
    queue_position: null,
    blocked_reason: "",
    progress: { fraction: 0, done_tiles: 0, total_tiles: 0, stage: "", eta_s: null },
    attempt: 1,
    cancel_requested: false,
    artifacts: [],
    warnings: [],
    estimates: {},
    errors: [],
    created_at: "2026-11-30T11:00:00Z",
    started_at: "2026-11-30T11:00:01Z",
    updated_at: "2026-11-30T11:01:01Z",
    completed_at: "2026-11-30T11:01:01Z",
    history: [],
    owner: "",
    within: null,
    ...changes,
  } as Job;
}

test("a filter keeps the jobs that fulfil all of it", () => {
  const jobs = [
    job({ job_id: "a", name: "Vesículas, dark", owner: "ada" }),
    job({ job_id: "b", engine: "particles", state: "failed" }),
    job({ job_id: "c", created_at: "2026-11-01T11:00:00Z" }),
  ];
  const shown = (changes: object) =>
    jobs.filter(matcher({ ...NO_FILTER, ...changes }, NOW)).map(({ job_id: id }) => id);
  assert.deepEqual(shown({}), ["a", "b", "c"]);
  assert.deepEqual(shown({ search: "DARK vesículas" }), ["a"]);
  assert.deepEqual(shown({ search: "vesiculas" }), []);
  assert.deepEqual(shown({ name: "Vesículas, dark" }), ["a"]);
  assert.deepEqual(shown({ to: "2026-11-02" }), ["c"]);
  assert.deepEqual(shown({ from: "2026-11-01", to: "2026-11-30" }), ["a", "b", "c"]);
  assert.deepEqual(shown({ search: "t1" }), ["a", "b", "c"]);
  assert.deepEqual(shown({ state: "failed" }), ["b"]);
  assert.deepEqual(shown({ engine: "membrane", period: "week" }), ["a"]);
  assert.deepEqual(shown({ owner: "ada" }), ["a"]);
  assert.deepEqual([occurring(jobs, "engine"), occurring(jobs, "owner")], [["membrane", "particles"], ["ada"]]);
  assert.deepEqual(jobs.map(jobTitle), ["Vesículas, dark", "t1.mrc", "t1.mrc"]);
});

test("a filter survives in the address, and unknown values show all", () => {
  const filter = { ...NO_FILTER, search: "a & b", state: "failed", period: "day", from: "2026-11-01" } as const;
  assert.deepEqual(parseFilter(filterQuery(filter)), filter);
  assert.equal(filterQuery(NO_FILTER), "");
  assert.deepEqual(parseFilter("state=x&period=toString&other=1&from=yesterday&to=2026-13-99"), NO_FILTER);
  assert.deepEqual(
    [isFiltering(NO_FILTER), isFiltering(filter), isFiltering({ ...NO_FILTER, search: " " })],
    [false, true, false],
  );
});

test("a filter is asked of the gateway in its own parameters", () => {
  assert.deepEqual(jobsQuery(NO_FILTER, NOW), {});
  const filter = { ...NO_FILTER, search: " dark  ", state: "failed", engine: "membrane", owner: "ada", name: "n" } as const;
  const asked = { search: "dark", state: "failed", engine: "membrane", owner: "ada", name: "n" };
  assert.deepEqual(jobsQuery(filter, NOW), asked);
  assert.deepEqual(jobsQuery({ ...NO_FILTER, period: "hour" }, NOW), { created_after: "2026-11-30T10:59:59.999Z" });
  const days = jobsQuery({ ...NO_FILTER, from: "2026-11-30", to: "2026-11-30" }, NOW);
  assert.equal(Date.parse(days.created_before!) - Date.parse(days.created_after!), 86_400_001);
});

test("pages of a listing join, and a first page beyond a gap begins it anew", () => {
  const page = (seconds: number[], cursor: string | null) => ({
    jobs: seconds.map((second) => job({ job_id: `${second}`, created_at: `2026-11-30T11:00:0${second}Z` })),
    cursor,
  });
  const at = (second: number) => ({ created_at: `2026-11-30T11:00:0${second}Z` });
  const first = withFirst(NOTHING_LOADED, page([6, 5], "5"));
  assert.deepEqual([isLoaded(at(5), first), isLoaded(at(4), first)], [true, false]);
  const second = withNext(first, page([4, 3], "3"));
  assert.deepEqual([isLoaded(at(3), second), isLoaded(at(2), second)], [true, false]);
  // Nothing is missing: what was loaded stays.
  assert.deepEqual(withFirst(second, page([7, 6], "6")), { ...second, newest: at(7).created_at });
  // Jobs between 6 and 8 were not listed.
  assert.equal(withFirst(second, page([9, 8], "8")).cursor, "8");
  const whole = withNext(second, page([2], null));
  assert.equal(isLoaded(at(0), whole), true);
  assert.equal(withFirst(whole, page([6, 5], "5")).cursor, null);
  // A page without jobs, as one that ends early, moves only the cursor.
  assert.deepEqual(withNext(second, page([], "1")), { ...second, cursor: "1" });
});

test("jobs are in the order of their submission, and those that a page lacks are gone", () => {
  const [one, two, three] = ["1", "2", "3"].map((n) => job({ job_id: n, created_at: `2026-11-30T11:00:0${n}Z` })) as [
    Job,
    Job,
    Job,
  ];
  assert.deepEqual(
    newestFirst([one, three, two]).map(({ job_id: id }) => id),
    ["3", "2", "1"],
  );
  assert.deepEqual(goneJobs([three, one], [one, two, three], { last: false }), ["2"]);
  assert.deepEqual(goneJobs([three], [one, two, three], { last: true }), ["1", "2"]);
  assert.deepEqual(goneJobs([two], [one, two, three], { last: false }), []);
});

test("only rows near the window are drawn, in the space of all", () => {
  const extent = { top: -5000, windowHeight: 800, rowHeight: 50 };
  const rows = visibleRows(1000, extent);
  assert.ok(rows.first <= 88 && rows.end >= 128 && rows.end - rows.first < 60);
  assert.equal(rows.above + rows.below + (rows.end - rows.first) * 50, 50_000);
  assert.deepEqual(visibleRows(3, { top: 200, windowHeight: 800, rowHeight: 50 }), {
    first: 0,
    end: 3,
    above: 0,
    below: 0,
  });
  assert.equal(scrollToRow(105, extent), 0);
  assert.equal(scrollToRow(0, extent), -5000 - 375);
});

test("a situation is told in words", () => {
  const running = job({
    state: "running",
    completed_at: null,
    progress: { fraction: 0.42, done_tiles: 1, total_tiles: 3, stage: "segmenting", eta_s: 70 },
  });
  assert.deepEqual(situation(running), { word: "Running", sentence: "Segmenting · about 1 min left", fraction: 0.42 });
  assert.equal(progressText(running), "42 % · about 1 min left");
  assert.equal(situation({ ...running, cancel_requested: true }).word, "Stopping");
  assert.equal(situation(job()).sentence, "Computed in 1 min");
  const pending = job({ state: "pending", attempt: 0, started_at: null });
  assert.equal(situation(pending).sentence, "Waiting for a free worker.");
  assert.equal(situation({ ...pending, queue_position: 1 }, 1).sentence, "Next in the queue.");
  assert.equal(situation({ ...pending, queue_position: 4 }, 1).sentence, "3 jobs are before it.");
  assert.equal(situation({ ...pending, blocked_reason: "No worker has it." }, 1).sentence, "No worker has it.");
  assert.match(situation({ ...pending, queue_position: 1 }, 0).sentence, /No worker/);
  assert.equal(situation(job({ state: "cancelled", started_at: null })).sentence, "");
});

test("a priority is named where it is not the usual one", () => {
  assert.deepEqual([1, 0, -1, 7].map(priorityText), ["high priority", "", "low priority", "7 priority"]);
});

test("an event is told with its reason, and a later attempt with its number", () => {
  const event = { n: 1, type: "job_started", state: "running", attempt: 2, at: "", reason: "" } as const;
  assert.equal(eventText(event), "Started (attempt 2)");
  assert.equal(
    eventText({ ...event, type: "job_requeued", reason: "The worker stopped." }),
    "Interrupted and queued again: The worker stopped.",
  );
  assert.equal(eventText({ ...event, type: "job_something_new" }), "something new");
});

test("files are offered with what most people want first, and each has a purpose", () => {
  const names = ["stats.json", "mask.mrc", "other.bin", "mask_r1.mrc", "mask_r2.mrc", "picks.star"].map((name) => ({
    name,
  }));
  assert.deepEqual(
    inOrder(names).map(({ name }) => name),
    ["mask_r2.mrc", "mask_r1.mrc", "mask.mrc", "picks.star", "stats.json", "other.bin"],
  );
  assert.equal(filePurpose("toString").title, "toString");
});

test("statistics become a table with one column for each label", () => {
  const label = {
    voxels: 1,
    volume_nm3: 125966,
    surface_nm2: 59596.3,
    medial_surface_nm2: null,
    thickness_A: 48.6032,
    thickness_sd_A: 11.2116,
    label: 1,
    name: "membrane",
    fraction: 0.03559,
    fraction_within: null,
    instances: 5,
  };
  const table = labelTable({ labels: [label, { ...label, thickness_A: null }] });
  assert.deepEqual(
    table.map(({ title, values }) => [title, ...values]),
    [
      ["Components", "5", "5"],
      ["Volume", "126\u202f000", "126\u202f000"],
      ["Share of the tomogram", "3.6 %", "3.6 %"],
      ["Surface area", "59\u202f600", "59\u202f600"],
      ["Mean thickness", "48.6 ± 11", "–"],
    ],
  );
  const component = { ...label, instance: 1 };
  assert.deepEqual(componentValues({ instances: [component, { ...component, thickness_A: null }] }), {
    volumes_nm3: [125966, 125966],
    thicknesses_A: [48.6032],
  });
  assert.equal(picksText({ picks: { kind: "filaments", points: 1, objects: 2 } }), "2 filaments, 1 point");
  assert.equal(picksText({ picks: null }), "");
});

test("a histogram counts every value, and its bars and ticks lie within the axes", () => {
  const spread = Array.from({ length: 500 }, (_, n) => 10 ** (1 + (3 * n) / 500));
  for (const values of [
    spread,
    [5],
    [4.1, 4.2, 4.25, 5],
    Array.from({ length: 40 }, (_, n) => 40 + n / 10),
    [1e-9, 3e-9],
  ]) {
    const found = histogram(values)!;
    assert.equal(
      found.bars.reduce((sum, bar) => sum + bar.bin.count, 0),
      values.length,
    );
    for (const bar of found.bars) {
      assert.ok(bar.left >= -1e-9 && bar.left + bar.width <= 1 + 1e-9 && bar.height >= 0 && bar.height <= 1);
    }
    for (const tick of [...found.xTicks, ...found.yTicks])
      assert.ok(tick.at >= -1e-9 && tick.at <= 1 + 1e-9, tick.text);
    assert.ok(found.xTicks.length >= 2 && found.yTicks.length >= 2);
    assert.equal(new Set(found.xTicks.map(({ text }) => text)).size, found.xTicks.length);
  }
  assert.deepEqual(
    histogram(spread)!.xTicks.map(({ text }) => text),
    ["10", "100", "1000", "10⁴"],
  );
  assert.equal(histogram([10_000, 40_000])!.xTicks.at(-1)!.text, "50\u202f000");
  assert.equal(histogram([]), null);
  assert.equal(histogram([0, Number.NaN]), null);
  assert.deepEqual([median([3, 1, 2]), median([1, 2]), median([])], [2, 1.5, null]);
});

const ORDER = {
  engine: "membrane",
  params: { high: 3 },
  parameterNames: new Set<string>(),
  voxelSize: null,
  within: null,
  name: "",
  priority: 1,
} as const;

test("each of several volumes gets a job with a name of its own", () => {
  assert.deepEqual(jobRequest(ORDER, { path: "/a" }, "a.mrc", true), {
    volume: { path: "/a" },
    engine: "membrane",
    params: { high: 3 },
    name: "",
    priority: 1,
  });
  const order = { ...ORDER, name: "night", voxelSize: [1, 2, 3], within: { job_id: "j" } } as const;
  const found = jobRequest(order, { file_id: "f" }, "a.mrc", true);
  assert.equal(found.name, "night · a.mrc");
  assert.deepEqual([found.volume, found.within], [{ file_id: "f", voxel_size_A: [1, 2, 3] }, { job_id: "j" }]);
  assert.equal([...jobRequest({ ...order, name: "x".repeat(300) }, { path: "/a" }, "", false).name].length, 200);
});

test("a job is run again with all that it was run with", () => {
  const found = templateOf(
    job({
      name: "n",
      priority: -1,
      params: { high: 9 },
      within: { name: "m.mrc", path: null, file_id: null, job_id: "j" },
    } as Partial<Job>),
  );
  assert.deepEqual(found, {
    engine: "membrane",
    params: { high: 9 },
    name: "n",
    priority: -1,
    voxelSize: "10",
    volume: { path: "/data/t1.mrc" },
    volumeName: "t1.mrc",
    within: { job_id: "j" },
    withinName: "m.mrc",
  });
});

test("what the server refuses is shown where it was entered, and at the form where it belongs to no field", () => {
  const known = new Set(["high"]);
  const error = {
    code: "invalid_parameters",
    message: "M.",
    advice: "A.",
    fields: [] as { field: string; problem: string }[],
  };
  const placed = (field: string) => refusal({ ...error, fields: [{ field, problem: "too large" }] }, known);
  assert.deepEqual(placed("high").params, { high: "Too large." });
  assert.deepEqual(placed("params.high").params, { high: "Too large." });
  assert.equal(placed("within").within, "Too large.");
  assert.equal(placed("volume.voxel_size_A.0").voxelSize, "Too large.");
  assert.equal(placed("volume.path").volume, "Too large.");
  assert.equal(placed("other").form, "M. A.");
  assert.equal(refusal({ ...error, code: "path_forbidden" }, known).volume, "M. A.");
});
