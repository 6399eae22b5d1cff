// Which jobs a list shows, and how that is written in the address.

import type { Job, JobState } from "../api/types.ts";

export const PERIODS = { any: 0, hour: 3600, day: 86_400, week: 7 * 86_400, month: 30 * 86_400 } as const;
export type Period = keyof typeof PERIODS;

export const STATES: readonly JobState[] = ["pending", "running", "completed", "failed", "cancelled"];

export interface Filter {
  /** Words that must all occur in what a row shows. */
  search: string;
  state: JobState | "";
  engine: string;
  owner: string;
  period: Period;
}

export const NO_FILTER: Filter = { search: "", state: "", engine: "", owner: "", period: "any" };

export function isFiltering(filter: Filter): boolean {
  return (
    filter.search.trim() !== "" ||
    filter.state !== "" ||
    filter.engine !== "" ||
    filter.owner !== "" ||
    filter.period !== "any"
  );
}

/** Return a test of jobs; `now` is in milliseconds since 1970. */
export function matcher(filter: Filter, now: number): (job: Job) => boolean {
  const words = folded(filter.search).split(/\s+/).filter(Boolean);
  const oldest = oldestShown(filter, now);
  return (job) =>
    (filter.state === "" || job.state === filter.state) &&
    (filter.engine === "" || job.engine === filter.engine) &&
    (filter.owner === "" || job.owner === filter.owner) &&
    (oldest === null || Date.parse(job.created_at) >= oldest) &&
    (words.length === 0 || includesAll(searched(job), words));
}

/** The time before which no job is shown, in milliseconds since 1970; null without a limit. */
export function oldestShown(filter: Filter, now: number): number | null {
  return filter.period === "any" ? null : now - 1000 * PERIODS[filter.period];
}

/** What a job is called: by whoever submitted it, else as its tomogram. */
export function jobTitle(job: Pick<Job, "name" | "volume" | "job_id">): string {
  return job.name || job.volume.name || job.job_id;
}

function searched(job: Job): string {
  return folded([job.name, job.volume.name, job.engine, job.owner, job.state, job.job_id].join("\n"));
}

function includesAll(text: string, words: readonly string[]): boolean {
  return words.every((word) => text.includes(word));
}

function folded(text: string): string {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

/** The values of a field that occur in jobs, in alphabetical order. */
export function occurring(jobs: Iterable<Job>, field: "engine" | "owner"): string[] {
  return [...new Set([...jobs].map((job) => job[field]))]
    .filter(Boolean)
    .sort((one, other) => one.localeCompare(other));
}

const FIELDS = ["search", "state", "engine", "owner", "period"] as const;

/** Write a filter as the query of an address; empty if it shows all. */
export function filterQuery(filter: Filter): string {
  const query = new URLSearchParams();
  for (const name of FIELDS) if (filter[name] !== NO_FILTER[name]) query.set(name, filter[name]);
  return query.toString();
}

/** Read a filter from the query of an address; what it does not know shows all. */
export function parseFilter(query: string): Filter {
  const given = new URLSearchParams(query);
  const state = given.get("state") ?? "";
  const period = given.get("period") ?? "any";
  return {
    search: given.get("search") ?? "",
    state: (STATES as readonly string[]).includes(state) ? (state as JobState) : "",
    engine: given.get("engine") ?? "",
    owner: given.get("owner") ?? "",
    period: Object.hasOwn(PERIODS, period) ? (period as Period) : "any",
  };
}
