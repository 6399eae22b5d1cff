// The jobs of the list that is open: the pages that the gateway has sent for its filter, kept up to date by live events.

import { batch, computed, effect, signal } from "@preact/signals";
import { listJobs } from "../api/client.ts";
import { ApiError, errorText } from "../api/errors.ts";
import { now } from "../app/clock.ts";
import { access, forgetJob, jobList, jobs, load, mergeJobs, newestPage } from "../app/store.ts";
import { type Filter, NO_FILTER, filterQuery, isFiltering, jobsQuery, matcher } from "./filters.ts";
import { goneJobs } from "./merge.ts";
import { type Loaded, NOTHING_LOADED, isLoaded, withFirst, withNext } from "./pages.ts";

const PAGE = 200;
/** A search is sent once the visitor pauses. */
const TYPING_MS = 250;

export const filter = signal<Filter>(NO_FILTER);
export const problem = signal("");
export const isLoading = signal(false);

const loaded = signal<Loaded>(NOTHING_LOADED);
let stop = new AbortController();
let typing: ReturnType<typeof setTimeout> | undefined;

/** Whether there are jobs that were not loaded yet, or nothing was. */
export const isOpenEnded = computed(() => loaded.value.cursor !== null);

/** The jobs of the list, newest first. */
export const listed = computed(() => {
  const isShown = matcher(filter.value, now.value);
  return jobList.value.filter((job) => isLoaded(job, loaded.value) && isShown(job));
});

/** Show the jobs of a filter. */
export function open(wanted: Filter): void {
  if (filterQuery(wanted) === filterQuery(filter.peek()) && loaded.peek().cursor !== undefined) return;
  const isTyping = wanted.search !== filter.peek().search;
  batch(() => {
    filter.value = wanted;
    loaded.value = NOTHING_LOADED;
    problem.value = "";
  });
  clearTimeout(typing);
  stop.abort();
  if (!isFiltering(wanted)) {
    showNewest();
    return;
  }
  isLoading.value = true;
  typing = setTimeout(() => void loadPage(), isTyping ? TYPING_MS : 0);
}

/** Load the jobs that follow, if there are any. */
export function loadMore(): void {
  if (!isLoading.peek() && problem.peek() === "" && loaded.peek().cursor) retry();
}

/** Ask again for what could not be loaded. */
export function retry(): void {
  void loadPage(loaded.peek().cursor ?? undefined);
}

async function loadPage(cursor?: string): Promise<void> {
  stop.abort();
  stop = new AbortController();
  const { signal: stopped } = stop;
  isLoading.value = true;
  const before = jobs.peek();
  const wanted = filter.peek();
  try {
    const page = await listJobs({ ...jobsQuery(wanted, Date.now()), limit: PAGE, ...(cursor ? { cursor } : {}) }, stopped);
    const isShown = matcher(wanted, Date.now());
    // A job that has changed meanwhile may be in the list or not; live events say so.
    const unchanged = [...before.values()].filter((job) => isShown(job) && jobs.peek().get(job.job_id) === job);
    batch(() => {
      for (const jobId of goneJobs(page.jobs, unchanged, { last: page.cursor === null })) forgetJob(jobId);
      mergeJobs(page.jobs);
      loaded.value = cursor ? withNext(loaded.peek(), page) : withFirst(loaded.peek(), page);
      problem.value = "";
      isLoading.value = false;
    });
  } catch (error) {
    if (stopped.aborted) return;
    isLoading.value = false;
    if (error instanceof ApiError && error.status === 401) void load();
    else problem.value = errorText(error);
  }
}

function showNewest(): void {
  isLoading.value = false;
  const page = newestPage.peek();
  if (page) loaded.value = withFirst(loaded.peek(), page);
}

/** Keep the list up to date when the page lists the newest jobs again, because events may have been missed. */
export function followNewest(): void {
  effect(() => {
    if (access.value === "allowed") return;
    loaded.value = NOTHING_LOADED;
    filter.value = NO_FILTER;
  });
  effect(() => {
    if (newestPage.value === null) return;
    if (!isFiltering(filter.peek())) showNewest();
    else if (loaded.peek().cursor !== undefined) void loadPage();
  });
}
