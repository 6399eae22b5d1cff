import { effect, signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Job } from "../api/types.ts";
import { replaceQuery, route } from "../app/route.ts";
import { jobList, locked } from "../app/store.ts";
import { printable } from "../app/text.ts";
import { count, counted } from "../format/numbers.ts";
import { CAN_DROP } from "../new/add-files.ts";
import { FilterBar } from "./filter-bar.tsx";
import { type Filter, filterQuery, isFiltering, parseFilter } from "./filters.ts";
import * as listing from "./listing.ts";
import { JobRow } from "./row.tsx";
import { type Extent, scrollToRow, visibleRows } from "./window.ts";

/** The jobs that follow are loaded before their place comes into view. */
const AHEAD_ROWS = 30;

/** The job that was open last: the list opens at it. */
const lastOpen = signal("");
effect(() => {
  if (route.value.page === "job") lastOpen.value = route.value.jobId;
});

export function JobList({ query }: { query: string }) {
  const filter = useMemo(() => parseFilter(query), [query]);
  useLayoutEffect(() => listing.open(filter), [filter]);
  const shown = listing.listed.value;
  const isFiltered = isFiltering(filter);
  const isEmpty = shown.length === 0 && !listing.isOpenEnded.value;
  const problem = listing.problem.value;
  return (
    <section class="jobs" aria-labelledby="jobs-title">
      <h2 id="jobs-title">Jobs</h2>
      {(!isEmpty || isFiltered) && (
        <FilterBar
          filter={filter}
          jobs={jobList.value}
          summary={problem ? "" : summary(filter, shown.length)}
          onChange={(changed) => replaceQuery(filterQuery(changed))}
        />
      )}
      {isEmpty && (isFiltered ? <p class="secondary">No job matches.</p> : <Empty />)}
      <Rows jobs={shown} />
      <p class="secondary" role="status">
        {problem ? (
          <>
            {printable(problem)}{" "}
            <button type="button" class="quiet" onClick={listing.retry}>
              Try again
            </button>
          </>
        ) : (
          listing.isLoading.value && "Loading jobs …"
        )}
      </p>
    </section>
  );
}

function Empty() {
  return (
    <div class="card empty" id="no-jobs">
      <h3>No jobs yet</h3>
      <p>{CAN_DROP ? "Drop a tomogram here to start" : "Add a tomogram"}, choose what to find in it, and watch the mask grow.</p>
      <a class="button primary" href="#/new">
        New job
      </a>
    </div>
  );
}

/** How many jobs are listed; of a list that goes on, how many of it were loaded. */
function summary(filter: Filter, shown: number): string {
  const named = filter.name ? ` named “${printable(filter.name)}”` : "";
  if (!listing.isOpenEnded.value) return `${counted(shown, "job")}${named}`;
  return shown > 0 ? `The newest ${count(shown)} jobs${named}` : "";
}

function Rows({ jobs }: { jobs: readonly Job[] }) {
  const list = useRef<HTMLUListElement>(null);
  const extent = useExtent(list, jobs.length > 0);
  const current = lastOpen.value;
  // Before a row was drawn its height is not known: a few are drawn.
  const rows = visibleRows(jobs.length, extent.rowHeight > 0 ? extent : { ...extent, rowHeight: 64 });
  useOpenAt(list, jobs, extent);
  // A page may hold fewer jobs than are seen, or none.
  useEffect(() => {
    if (rows.end > jobs.length - AHEAD_ROWS) listing.loadMore();
  }, [rows.end, jobs.length, listing.isLoading.value]);
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
