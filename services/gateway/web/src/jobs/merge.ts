// Pages of jobs, and the live records beside them, as one list.

import type { Job } from "../api/types.ts";

/** Newest first; of jobs of the same moment the order is the same every time. */
export function newestFirst(jobs: Iterable<Job>): Job[] {
  return [...jobs].sort(
    (one, other) => other.created_at.localeCompare(one.created_at) || other.job_id.localeCompare(one.job_id),
  );
}

/**
 * Whether a record that was listed is older than the one that is known: a page of the list can be on its way while
 * the job goes on.
 */
export function isStale(listed: Job, known: Job): boolean {
  return listed.updated_at < known.updated_at;
}

/** The jobs that a complete page shows to be gone: older than its first, newer than its last, and not in it. */
export function goneJobs(page: readonly Job[], known: Iterable<Job>, { last }: { last: boolean }): string[] {
  const newest = page[0]?.created_at ?? "";
  const oldest = last ? "" : (page.at(-1)?.created_at ?? "");
  const listed = new Set(page.map((job) => job.job_id));
  return [...known]
    .filter((job) => !listed.has(job.job_id) && job.created_at <= newest && job.created_at > oldest)
    .map((job) => job.job_id);
}
