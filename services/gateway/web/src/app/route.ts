// What the address shows: #/jobs/ID a job, #/new the form for a new one, anything else the list.

import { signal } from "@preact/signals";

export type Route = { page: "jobs" } | { page: "job"; jobId: string } | { page: "new" };

const OLD_JOB = /^#([0-9A-Za-z-]{8,64})$/;

/** Return what the fragment of an address names; `#ID` is how earlier versions named a job. */
export function parseRoute(hash: string): Route {
  const [, page, id] = hash.split("/");
  if (page === "new") return { page: "new" };
  if (page === "jobs" && id) return { page: "job", jobId: decode(id) };
  const old = OLD_JOB.exec(hash);
  return old ? { page: "job", jobId: old[1]! } : { page: "jobs" };
}

/** The fragment of a job's own address. */
export function jobHref(jobId: string): string {
  return `#/jobs/${encodeURIComponent(jobId)}`;
}

function decode(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}

export const route = signal<Route>({ page: "jobs" });

/** Keep `route` up to date with the address. */
export function followAddress(): void {
  const update = () => {
    route.value = parseRoute(location.hash);
  };
  addEventListener("hashchange", update);
  update();
}
