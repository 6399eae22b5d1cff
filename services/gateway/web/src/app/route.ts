// What the address shows: #/jobs/ID a job, #/new the form for a new one, #/models the trained models, #/server the
// server, anything else the list, with its filter as a query.

import { signal } from "@preact/signals";

export type Route =
  | { page: "jobs"; query: string }
  | { page: "job"; jobId: string }
  | { page: "new" }
  | { page: "models" }
  | { page: "server" };

const OLD_JOB = /^#([0-9A-Za-z-]{8,64})$/;

/** Return what the fragment of an address names; `#ID` is how earlier versions named a job. */
export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.split("?", 2);
  const [, page, id] = path.split("/");
  if (page === "new") return { page: "new" };
  if (page === "models") return { page: "models" };
  if (page === "server") return { page: "server" };
  if (page === "jobs" && id) return { page: "job", jobId: decode(id) };
  const old = OLD_JOB.exec(hash);
  return old ? { page: "job", jobId: old[1]! } : { page: "jobs", query };
}

/** The fragment of the list with a filter. */
export function listHref(query = ""): string {
  return query ? `#/jobs?${query}` : "#/jobs";
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

export const route = signal<Route>({ page: "jobs", query: "" });

/** Keep `route` up to date with the address. */
export function followAddress(): void {
  const update = () => {
    route.value = parseRoute(location.hash);
  };
  addEventListener("hashchange", update);
  update();
}

/** Show another filter of the list without an entry in the history for each letter that is typed. */
export function replaceQuery(query: string): void {
  history.replaceState(null, "", listHref(query));
  route.value = { page: "jobs", query };
}

export function go(href: string): void {
  location.hash = href;
}
