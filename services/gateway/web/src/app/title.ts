// The title of the window: a visitor who waits in another tab sees there how far a job is.

import { effect } from "@preact/signals";
import { percent } from "../format/numbers.ts";
import { situation } from "../job/states.ts";
import { jobTitle } from "../jobs/filters.ts";
import { route } from "./route.ts";
import { jobs } from "./store.ts";
import { printable } from "./text.ts";

/** Keep the window's title up to date. */
export function followTitle(): void {
  effect(() => {
    document.title = [...pageTitle(), "CryoMamba"].join(" · ");
  });
}

function pageTitle(): string[] {
  const shown = route.value;
  if (shown.page === "new") return ["New job"];
  if (shown.page === "models") return ["Models"];
  if (shown.page === "server") return ["Server"];
  const job = shown.page === "job" ? jobs.value.get(shown.jobId) : undefined;
  if (!job) return [];
  const { word, fraction } = situation(job);
  const far = job.state === "running" && fraction !== null ? percent(Math.floor(100 * fraction) / 100) : word;
  return [far, printable(jobTitle(job))];
}
