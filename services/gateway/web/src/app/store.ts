// The state of the page: who is signed in, what the server says of itself, and the jobs that are known.

import { computed, signal } from "@preact/signals";
import * as api from "../api/client.ts";
import { ApiError, UNAVAILABLE, errorText } from "../api/errors.ts";
import { Backoff } from "../api/backoff.ts";
import { LiveConnection } from "../api/live.ts";
import { type Health, type Job, type JobPage, isFinal } from "../api/types.ts";
import { goneJobs, isStale, newestFirst } from "../jobs/merge.ts";

const LISTED = 200;
const HEALTH_MS = 15_000;

export type Access = "unknown" | "signed-out" | "allowed";

export const access = signal<Access>("unknown");
/** Whether the server requires tokens. */
export const locked = signal(false);
export const notice = signal("");
export const health = signal<Health | null>(null);
export const readiness = signal("–");
/** All jobs that the page knows, by id. */
export const jobs = signal<ReadonlyMap<string, Job>>(new Map());

/** The newest jobs as they were listed last. */
export const newestPage = signal<JobPage | null>(null);

/** Newest first. */
export const jobList = computed(() => newestFirst(jobs.value.values()));

export const live = new LiveConnection({
  onJob: updateJob,
  onProgress(jobId, progress) {
    const job = jobs.value.get(jobId);
    if (job) updateJob({ ...job, progress });
  },
  onNotice(text) {
    notice.value = text;
  },
  onRestart: () => void load(),
  onRefused(reason) {
    notice.value = reason;
    setTimeout(() => void load(), refusals.wait());
  },
});

const backoff = new Backoff(500, 10_000);
// A server may list jobs and refuse the connection all the same, because of its origin for example.
const refusals = new Backoff(100, 30_000);

/** Load the jobs and follow them; without access, ask for a token. */
export async function load(): Promise<void> {
  try {
    const page = await api.listJobs({ limit: LISTED });
    access.value = "allowed";
    locked.value = page.locked;
    backoff.reset();
    for (const jobId of goneJobs(page.jobs, jobs.value.values(), { last: page.cursor === null })) forgetJob(jobId);
    mergeJobs(page.jobs);
    newestPage.value = page;
    live.start();
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      forgetAll("not accepted");
      return;
    }
    notice.value = `${errorText(error)} Trying again.`;
    setTimeout(() => void load(), error instanceof ApiError && error.retryAfterS ? 1000 * error.retryAfterS : backoff.wait());
  }
}

/** Add jobs of a list, which come without their history and may be older than what is known. */
export function mergeJobs(listed: readonly Job[]): void {
  const known = jobs.value;
  updateJobs(
    listed
      .filter((job) => !known.has(job.job_id) || !isStale(job, known.get(job.job_id)!))
      .map((job) => ({ ...job, history: job.history.length ? job.history : (known.get(job.job_id)?.history ?? []) })),
  );
}

/** Add or replace jobs. */
export function updateJobs(found: readonly Job[]): void {
  const known = new Map(jobs.value);
  for (const job of found) known.set(job.job_id, job);
  jobs.value = known;
}

export function updateJob(job: Job): void {
  const before = jobs.value.get(job.job_id);
  updateJobs([job]);
  if (before && isFinal(before.state) && !isFinal(job.state)) live.refollow(job.job_id);
}

/** Load a job anew; a message that came while the answer was on its way counts more than an answer as old. */
export async function loadJob(jobId: string): Promise<void> {
  const before = jobs.value.get(jobId);
  const found = await api.getJob(jobId);
  const known = jobs.value.get(jobId);
  if (known && known !== before && !isStale(known, found)) return;
  updateJob(found);
}

/** Forget a job that is no longer there. */
export function forgetJob(jobId: string): void {
  const known = new Map(jobs.value);
  known.delete(jobId);
  jobs.value = known;
}

export async function signIn(token: string): Promise<void> {
  try {
    await api.signIn(token);
    notice.value = "";
    await load();
  } catch (error) {
    notice.value = errorText(error);
  }
}

export async function signOut(): Promise<void> {
  await api.signOut().catch(() => {});
  forgetAll("signed out");
  location.assign("/");
}

/** Whether the visitor has signed out, or the server no longer accepts the token. */
export type Ending = "signed out" | "not accepted";

const forgetters: ((ending: Ending) => void)[] = [];

/** Call a function when the visitor is signed out: what it keeps is not for the next one. */
export function onSignedOut(forget: (ending: Ending) => void): void {
  forgetters.push(forget);
}

// The next user may be somebody else.
function forgetAll(ending: Ending): void {
  const before = access.value;
  access.value = "signed-out";
  live.stop();
  jobs.value = new Map();
  newestPage.value = null;
  // A visitor who comes back and signs in again finds what was begun.
  if (before === "allowed") for (const forget of forgetters) forget(ending);
}

async function updateHealth(): Promise<void> {
  try {
    health.value = await api.health();
  } catch {
    health.value = null;
    readiness.value = UNAVAILABLE;
    return;
  }
  try {
    const { workers } = await api.readiness();
    readiness.value = `Ready · ${workers} ${workers === 1 ? "worker" : "workers"}`;
  } catch (error) {
    readiness.value = errorText(error);
  }
}

export function start(): void {
  void load();
  void updateHealth();
  setInterval(() => void updateHealth(), HEALTH_MS);
}
