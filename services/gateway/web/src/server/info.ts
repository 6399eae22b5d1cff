// What the server can do, and how busy it is.

import { computed, effect, signal } from "@preact/signals";
import { listJobs, serverInfo } from "../api/client.ts";
import { ApiError, errorText } from "../api/errors.ts";
import type { Job, ServerInfo } from "../api/types.ts";
import { route } from "../app/route.ts";
import { access, jobs, mergeJobs } from "../app/store.ts";

const REFRESH_MS = 15_000;
const PENDING_MAX = 500;

export const server = signal<ServerInfo | null>(null);
export const serverProblem = signal("");

/** The jobs in the queue, in the order in which they will run. */
export const pending = computed(() =>
  [...jobs.value.values()]
    .filter(({ state }) => state === "pending")
    .sort((one, other) => place(one) - place(other) || one.created_at.localeCompare(other.created_at)),
);

function place({ queue_position: position }: Job): number {
  return position ?? Number.MAX_SAFE_INTEGER;
}

export async function refreshServer(): Promise<void> {
  try {
    server.value = await serverInfo();
    serverProblem.value = "";
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401)) serverProblem.value = errorText(error);
  }
}

/** Old jobs can still wait or run; the list of the newest ones may not hold them. */
export async function refreshQueue(): Promise<void> {
  try {
    for (const state of ["pending", "running"] as const)
      mergeJobs((await listJobs({ state, limit: PENDING_MAX })).jobs);
  } catch {
    // The list of jobs says that the server is not available.
  }
}

/** Keep up to date what the open page shows. */
export function followServer(): void {
  effect(() => {
    if (access.value === "allowed") void refreshServer();
    else server.value = null;
  });
  effect(() => {
    if (access.value === "allowed" && route.value.page === "server") void refreshQueue();
  });
  setInterval(() => {
    const watched = access.value === "allowed" && document.visibilityState === "visible";
    if (!watched || (route.value.page === "jobs" && server.value)) return;
    void refreshServer();
    if (route.value.page === "server") void refreshQueue();
  }, REFRESH_MS);
}
