// Which jobs a list shows: written in the address, asked of the gateway, and tested on records that arrive live.

import type { JobsQuery } from "../api/client.ts";
import type { Job, JobState } from "../api/types.ts";

export const PERIODS = { any: 0, hour: 3600, day: 86_400, week: 7 * 86_400, month: 30 * 86_400 } as const;
export type Period = keyof typeof PERIODS;

export const STATES: readonly JobState[] = ["pending", "running", "completed", "failed", "cancelled"];

/** The gateway reads no more words of a search. */
const WORDS_MAX = 16;

export interface Filter {
  /** Words that must all occur in a job's id, name, tomogram, engine or owner. */
  search: string;
  state: JobState | "";
  engine: string;
  owner: string;
  /** Exactly this name; only an address sets it. */
  name: string;
  period: Period;
  /** First and last day of the submission, as in 2026-11-30; they replace the period. */
  from: string;
  to: string;
}

export const NO_FILTER: Filter = {
  search: "",
  state: "",
  engine: "",
  owner: "",
  name: "",
  period: "any",
  from: "",
  to: "",
};

export function isFiltering(filter: Filter): boolean {
  return FIELDS.some((field) => filter[field].trim() !== NO_FILTER[field]);
}

/** The times between which jobs were submitted, in milliseconds since 1970; null without a limit. */
export function timesOf(filter: Filter, now: number): { after: number | null; before: number | null } {
  if (filter.from || filter.to) return { after: dayStart(filter.from, 0), before: dayStart(filter.to, 1) };
  return { after: filter.period === "any" ? null : now - 1000 * PERIODS[filter.period], before: null };
}

/** A filter as the gateway's parameters; `now` is in milliseconds since 1970. */
export function jobsQuery(filter: Filter, now: number): JobsQuery {
  const { after, before } = timesOf(filter, now);
  const given = {
    search: filter.search.trim(),
    state: filter.state,
    engine: filter.engine,
    owner: filter.owner,
    name: filter.name,
    // The gateway's limits are themselves left out, and a day begins with its first moment.
    created_after: after === null ? "" : new Date(after - 1).toISOString(),
    created_before: before === null ? "" : new Date(before).toISOString(),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ""));
}

/** Return a test of jobs by the gateway's rules; `now` is in milliseconds since 1970. */
export function matcher(filter: Filter, now: number): (job: Job) => boolean {
  const words = folded(filter.search).split(/\s+/).filter(Boolean).slice(0, WORDS_MAX);
  const { after, before } = timesOf(filter, now);
  return (job) =>
    (filter.state === "" || job.state === filter.state) &&
    (filter.engine === "" || job.engine === filter.engine) &&
    (filter.owner === "" || job.owner === filter.owner) &&
    (filter.name === "" || job.name === filter.name) &&
    (after === null || Date.parse(job.created_at) >= after) &&
    (before === null || Date.parse(job.created_at) < before) &&
    (words.length === 0 || allOccur(job, words));
}

/** What a job is called: by whoever submitted it, else as its tomogram. */
export function jobTitle(job: Pick<Job, "name" | "volume" | "job_id">): string {
  return job.name || job.volume.name || job.job_id;
}

function allOccur(job: Job, words: readonly string[]): boolean {
  const searched = [job.job_id, job.name, job.engine, job.owner, job.volume.path ?? job.volume.name].map(folded);
  return words.every((word) => searched.some((text) => text.includes(word)));
}

// As the gateway does it: only A to Z have two cases.
function folded(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** The values of a field that occur in jobs, in alphabetical order. */
export function occurring(jobs: Iterable<Job>, field: "engine" | "owner"): string[] {
  return [...new Set([...jobs].map((job) => job[field]))]
    .filter(Boolean)
    .sort((one, other) => one.localeCompare(other));
}

/** The beginning of a day that is `later` days after another, where the visitor is; null if it is none. */
function dayStart(day: string, later: number): number | null {
  const [year, month, date] = isDay(day) ? day.split("-").map(Number) : [];
  return year === undefined ? null : new Date(year, month! - 1, date! + later).getTime();
}

function isDay(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));
}

const FIELDS = ["search", "state", "engine", "owner", "name", "period", "from", "to"] as const;

/** Write a filter as the query of an address; empty if it shows all. */
export function filterQuery(filter: Filter): string {
  const query = new URLSearchParams();
  for (const name of FIELDS) if (filter[name] !== NO_FILTER[name]) query.set(name, filter[name]);
  return query.toString();
}

/** Read a filter from the query of an address; what it does not know shows all. */
export function parseFilter(query: string): Filter {
  const given = new URLSearchParams(query);
  const text = (name: string) => given.get(name) ?? "";
  const day = (name: string) => (isDay(text(name)) ? text(name) : "");
  const period = text("period");
  return {
    search: text("search"),
    state: (STATES as readonly string[]).includes(text("state")) ? (text("state") as JobState) : "",
    engine: text("engine"),
    owner: text("owner"),
    name: text("name"),
    period: Object.hasOwn(PERIODS, period) ? (period as Period) : "any",
    from: day("from"),
    to: day("to"),
  };
}
