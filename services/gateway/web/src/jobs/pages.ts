// How far a listing has been loaded, page by page. Pure.

import type { Job, JobPage } from "../api/types.ts";

export interface Loaded {
  /** Continues the listing; null at its end, undefined before the first page. */
  cursor: string | null | undefined;
  /** When the newest and the oldest job of the pages were submitted; empty without any. */
  newest: string;
  oldest: string;
}

export const NOTHING_LOADED: Loaded = { cursor: undefined, newest: "", oldest: "" };

/** Add the page that continues what was loaded. */
export function withNext(loaded: Loaded, page: JobPage): Loaded {
  const oldest = page.jobs.at(-1)?.created_at ?? loaded.oldest;
  return { cursor: page.cursor, newest: loaded.newest || (page.jobs[0]?.created_at ?? ""), oldest };
}

/** Put a first page that was loaded again in front; what was loaded stays where nothing is missing between them. */
export function withFirst(loaded: Loaded, page: JobPage): Loaded {
  const first = withNext(NOTHING_LOADED, page);
  const isJoined = loaded.cursor !== undefined && loaded.oldest !== "" && first.oldest <= loaded.newest;
  return page.cursor !== null && isJoined && loaded.oldest < first.oldest ? { ...loaded, newest: first.newest } : first;
}

/** Whether a job is in the part that was loaded; older ones are left out, because others before them may be missing. */
export function isLoaded(job: Pick<Job, "created_at">, { cursor, oldest }: Loaded): boolean {
  return !cursor || job.created_at >= oldest;
}
