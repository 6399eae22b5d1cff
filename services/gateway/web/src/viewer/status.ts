// What the viewer says about what it does not show. Pure.

import type { Frame } from "../api/frames.ts";
import { type Job, type JobState, type JobVolumes, isFinal } from "../api/types.ts";
import { PREVIEW } from "./layers.ts";

/** Return sentences about why there is no tomogram or no mask; empty if both are there. */
export function statusTexts(job: Job, volumes: JobVolumes | null, frame: Frame | null): string[] {
  return [tomogramText(job, volumes), maskText(job, volumes, frame)].filter(Boolean);
}

function tomogramText({ volume }: Job, volumes: JobVolumes | null): string {
  if (!volumes || volumes.volumes.some(({ kind }) => kind === "tomogram")) return "";
  if (!volume.path && !volume.file_id && !volume.job_id) return "A demo job has no tomogram; only its mask is shown.";
  const problem = volumes.unreadable.find(({ zarr_path: path }) => path === "")?.problem;
  return `The tomogram cannot be shown. ${problem ?? ""}`.trim();
}

function maskText({ state }: Job, volumes: JobVolumes | null, frame: Frame | null): string {
  if (state === "pending") return "The job is waiting for a worker. The mask will appear here while it is computed.";
  if (state === "running") return frame ? "" : "The first preview of the mask will appear in a moment.";
  if (state === "completed") return completedText(volumes);
  const ended = state === "failed" ? "failed" : "was cancelled";
  return frame ? `The job ${ended}. The mask shows what was computed before.` : `The job ${ended} before there was a mask.`;
}

function completedText(volumes: JobVolumes | null): string {
  const problem = volumes?.unreadable.find(({ zarr_path: path }) => path.startsWith("labels/"))?.problem;
  return problem ? `The mask cannot be shown. ${problem}` : "";
}

/** How the layers of a mask are called; what was computed before a job ended is no preview of anything. */
export function layerName(path: string, state: JobState): string {
  if (path === PREVIEW && isFinal(state)) return state === "completed" ? "Mask" : "Unfinished mask";
  const name = path.replace(/^labels\//, "");
  const revision = /^mask_r(\d+)$/.exec(name);
  if (revision) return `Mask, revision ${revision[1]}`;
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
