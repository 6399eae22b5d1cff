import { effect, signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { errorText } from "../api/errors.ts";
import type { Job } from "../api/types.ts";
import { now } from "../app/clock.ts";
import { replaceQuery, route } from "../app/route.ts";
import { jobList, loadOlder, locked, olderCursor } from "../app/store.ts";
import { printable } from "../app/text.ts";
import { count, counted } from "../format/numbers.ts";
import { FilterBar } from "./filter-bar.tsx";
import { type Filter, filterQuery, isFiltering, matcher, oldestShown, parseFilter } from "./filters.ts";
import { JobRow } from "./row.tsx";
import { type Extent, scrollToRow, visibleRows } from "./window.ts";

/** Older jobs are loaded before their place comes into view. */
const AHEAD_ROWS = 30;
const OLDER_LIMIT = 100;
const SEARCH_LIMIT = 500;

/** The job that was open last: the list opens at it. */
const lastOpen = signal("");
effect(() => {
  if (route.value.page === "job") lastOpen.value = route.value.jobId;
});

export function JobList({ query }: { query: string }) {
  const filter = useMemo(() => parseFilter(query), [query]);
  const all = jobList.value;
  const shown = isFiltering(filter) ? all.filter(matcher(filter, now.value)) : all;
  const older = useOlder(filter, all, shown.length);
  return (
    <section class="jobs" aria-labelledby="jobs-title">
      <h2 id="jobs-title">Jobs</h2>
      {(all.length > 0 || isFiltering(filter)) && (
        <FilterBar
          filter={filter}
          jobs={all}
          summary={summary(filter, all, shown)}
          onChange={(changed) => replaceQuery(filterQuery(changed))}
        />
      )}
      {all.length === 0 && olderCursor.value === null && <Empty />}
      {all.length > 0 && shown.length === 0 && !older.loading && (
        <p class="secondary">No job matches. {olderCursor.value ? "" : "All jobs were searched."}</p>
      )}
      <Rows jobs={shown} onNearEnd={older.load} />
      <p class="secondary" role="status">
        {older.problem ? printable(older.problem) : older.loading ? "Loading older jobs …" : ""}
      </p>
    </section>
  );
}

function Empty() {
  return (
    <div class="card empty" id="no-jobs">
      <h3>No jobs yet</h3>
      <p>Add a tomogram, choose what to find in it, and watch the mask grow.</p>
      <a class="button primary" href="#/new">
        New job
      </a>
    </div>
  );
}

function summary(filter: Filter, all: readonly Job[], shown: readonly Job[]): string {
  const total = olderCursor.value ? `the newest ${count(all.length)} jobs` : counted(all.length, "job");
  if (!isFiltering(filter)) return olderCursor.value ? `The newest ${count(all.length)} jobs` : total;
  return `${count(shown.length)} of ${total}`;
}

/** Load older jobs when the end is near, and, while a filter leaves room, by itself. */
function useOlder(filter: Filter, all: readonly Job[], shown: number) {
  const [loading, setLoading] = useState(false);
  const [problem, setProblem] = useState("");
  const cursor = olderCursor.value;
  const load = () => {
    if (loading || !cursor) return;
    setLoading(true);
    loadOlder(isFiltering(filter) ? SEARCH_LIMIT : OLDER_LIMIT)
      .then(() => setProblem(""))
      .catch((error: unknown) => setProblem(errorText(error)))
      .finally(() => setLoading(false));
  };
  const oldest = oldestShown(filter, now.value);
  const reached = oldest !== null && all.length > 0 && Date.parse(all.at(-1)!.created_at) < oldest;
  useEffect(() => {
    if (isFiltering(filter) && shown < AHEAD_ROWS && !reached && problem === "") load();
  }, [filter, shown, cursor, loading]);
  return { load, loading, problem };
}

function Rows({ jobs, onNearEnd }: { jobs: readonly Job[]; onNearEnd: () => void }) {
  const list = useRef<HTMLUListElement>(null);
  const extent = useExtent(list, jobs.length > 0);
  const current = lastOpen.value;
  // Before a row was drawn its height is not known: a few are drawn.
  const rows = visibleRows(jobs.length, extent.rowHeight > 0 ? extent : { ...extent, rowHeight: 64 });
  useOpenAt(list, jobs, extent);
  useEffect(() => {
    if (jobs.length > 0 && rows.end > jobs.length - AHEAD_ROWS) onNearEnd();
  }, [rows.end, jobs.length]);
  if (jobs.length === 0) return null;
  const owners = locked.value && jobs.some(({ owner }) => owner !== "");
  return (
    <ul
      id="jobs"
      class="job-list"
      data-owners={owners}
      ref={list}
      style={{ paddingTop: `${rows.above}px`, paddingBottom: `${rows.below}px` }}
    >
      {jobs.slice(rows.first, rows.end).map((job, offset) => (
        <JobRow
          key={job.job_id}
          job={job}
          index={rows.first + offset}
          count={jobs.length}
          current={job.job_id === current}
          owners={owners}
        />
      ))}
    </ul>
  );
}

/** Where the list is in the window; changes with scrolling and with the size of the window. */
function useExtent(list: { current: HTMLElement | null }, drawn: boolean): Extent {
  const [extent, setExtent] = useState<Extent>({ top: 0, windowHeight: innerHeight, rowHeight: 0 });
  useLayoutEffect(() => {
    const measure = () => setExtent((before) => measured(list.current, before));
    measure();
    addEventListener("scroll", measure, { passive: true });
    addEventListener("resize", measure);
    return () => {
      removeEventListener("scroll", measure);
      removeEventListener("resize", measure);
    };
  }, [drawn]);
  return extent;
}

function measured(list: HTMLElement | null, before: Extent): Extent {
  const row = list?.querySelector(".job-row");
  if (!list || !row) return before;
  return {
    top: list.getBoundingClientRect().top,
    windowHeight: innerHeight,
    rowHeight: row.getBoundingClientRect().height,
  };
}

/** Show the job that was open last when the visitor comes back from it, and give it the keyboard. */
function useOpenAt(list: { current: HTMLElement | null }, jobs: readonly Job[], extent: Extent): void {
  const step = useRef<"scroll" | "focus" | "done">("scroll");
  useLayoutEffect(() => {
    if (step.current !== "scroll" || extent.rowHeight === 0 || !list.current) return;
    const index = jobs.findIndex((job) => job.job_id === lastOpen.peek());
    step.current = index < 0 ? "done" : "focus";
    const top = list.current.getBoundingClientRect().top;
    if (index >= 0) scrollBy(0, scrollToRow(index, { ...extent, top }));
  });
  // Its row is drawn only once it is in view.
  useLayoutEffect(() => {
    if (step.current !== "focus") return;
    const link = list.current?.querySelector<HTMLElement>('[data-current="true"] a');
    if (!link) return;
    step.current = "done";
    link.focus({ preventScroll: true });
  });
}
