// From what was chosen and entered to the request that submits a job, and from a refusal back to the fields.

import type { Job } from "../api/types.ts";
import { printable } from "../app/text.ts";
import { significant } from "../format/numbers.ts";
import type { Json } from "./schema.ts";

/** A file in one of three places, or another job's result. */
export type Source = { path: string } | { file_id: string } | { job_id: string };

export interface JobRequest {
  volume?: (Source & { voxel_size_A?: readonly [number, number, number] }) | { shape: readonly number[] };
  engine: string;
  params: { [name: string]: Json };
  within?: Source;
  name: string;
  priority: number;
}

export interface Order {
  engine: string;
  params: { [name: string]: Json };
  /** The names of all parameters of the engine. */
  parameterNames: ReadonlySet<string>;
  voxelSize: readonly [number, number, number] | null;
  within: Source | null;
  name: string;
  priority: number;
}

/** The request for one of several volumes; each job is named, so that they can be told apart. */
export function jobRequest(
  order: Order,
  volume: Source | { shape: readonly number[] },
  label: string,
  several: boolean,
): JobRequest {
  const name = several && order.name ? `${order.name} · ${printable(label)}` : order.name;
  return {
    volume: "shape" in volume || order.voxelSize === null ? volume : { ...volume, voxel_size_A: order.voxelSize },
    engine: order.engine,
    params: order.params,
    ...(order.within && { within: order.within }),
    name: [...name].slice(0, NAME_MAX).join("").trim(),
    priority: order.priority,
  };
}

export const NAME_MAX = 200;

/** What the form shows to run a job again with changes. */
export interface Template {
  engine: string;
  params: { [name: string]: Json };
  name: string;
  priority: number;
  voxelSize: string;
  volume: Source | null;
  volumeName: string;
  within: Source | null;
  withinName: string;
}

export function templateOf(job: Job): Template {
  const { path, file_id: fileId, job_id: jobId } = job.volume;
  return {
    engine: job.engine,
    params: job.params as { [name: string]: Json },
    name: job.name,
    priority: job.priority,
    // The header's own size comes out the same; one that was entered by hand must not be lost.
    voxelSize: voxelSizeEntry(job.volume.voxel_size_A),
    volume: sourceOf({ path, file_id: fileId, job_id: jobId }),
    volumeName: job.volume.name,
    within: job.within ? sourceOf(job.within) : null,
    withinName: job.within?.name ?? "",
  };
}

function sourceOf(found: { path?: string | null; file_id?: string | null; job_id?: string | null }): Source | null {
  if (found.file_id) return { file_id: found.file_id };
  if (found.job_id) return { job_id: found.job_id };
  return found.path ? { path: found.path } : null;
}

function voxelSizeEntry(zyx: readonly number[]): string {
  const texts = zyx.map(significant);
  return new Set(texts).size === 1 ? texts[0]! : texts.join(" ");
}

/** Where a refusal is shown: at a parameter, at one of the other fields, or at the form as a whole. */
export interface Refusal {
  params: Record<string, string>;
  volume: string;
  voxelSize: string;
  within: string;
  name: string;
  form: string;
}

const VOLUME_CODES = new Set([
  "path_forbidden",
  "volume_not_found",
  "volume_unreadable",
  "volume_unsupported",
  "volume_not_finite",
  "volume_changed",
]);

export interface ServerError {
  code: string;
  message: string;
  advice: string;
  fields: readonly { field: string; problem: string }[];
}

/** Sort what the server has refused to the fields of the form; what belongs to none is shown at the form. */
export function refusal(error: ServerError, params: ReadonlySet<string>): Refusal {
  const found: Refusal = { params: {}, volume: "", voxelSize: "", within: "", name: "", form: "" };
  let placed = false;
  for (const { field, problem } of error.fields) {
    const text = sentence(problem);
    const name = field.replace(/^params\./, "");
    placed = true;
    if (params.has(name)) found.params[name] = text;
    else if (field === "within" || field.startsWith("within.")) found.within = text;
    else if (field.startsWith("volume.voxel_size_A")) found.voxelSize = text;
    else if (field === "volume" || field.startsWith("volume.")) found.volume = text;
    else if (field === "name") found.name = text;
    else placed = false;
  }
  if (placed) return found;
  const whole = [error.message, error.advice].filter(Boolean).join(" ");
  if (VOLUME_CODES.has(error.code)) found.volume = whole;
  else found.form = whole;
  return found;
}

function sentence(problem: string): string {
  const text = problem.trim();
  return text && (text[0]!.toUpperCase() + text.slice(1)).replace(/([^.!?])$/, "$1.");
}
