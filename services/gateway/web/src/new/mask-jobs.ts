// The jobs whose masks can be a region to search within, found by the gateway among all jobs.

import { type JobsQuery, type ListedJobs, listJobs } from "../api/client.ts";
import type { Job } from "../api/types.ts";

const PAGE = 100;
/** Most completed jobs have a mask; those of particles have none. */
const PAGES_MAX = 5;

export interface MaskJobs {
  /** Newest first. */
  jobs: Job[];
  /** Whether there may be older ones. */
  more: boolean;
}

type List = (query: JobsQuery, signal: AbortSignal) => Promise<Pick<ListedJobs, "jobs" | "cursor">>;

/** Find completed jobs that have a mask, and all words of a search in their id, name, tomogram, engine or owner. */
export async function findMaskJobs(search: string, signal: AbortSignal, list: List = listJobs): Promise<MaskJobs> {
  const words = search.trim();
  const jobs: Job[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < PAGES_MAX; page++) {
    const query: JobsQuery = { state: "completed", limit: PAGE, ...(words && { search: words }), ...(cursor && { cursor }) };
    const found = await list(query, signal);
    jobs.push(...found.jobs.filter(hasMask));
    cursor = found.cursor;
    if (cursor === null || jobs.length >= PAGE) break;
  }
  return { jobs: jobs.slice(0, PAGE), more: cursor !== null || jobs.length > PAGE };
}

function hasMask({ artifacts }: Job): boolean {
  return artifacts.some(({ name }) => name === "mask.mrc");
}
