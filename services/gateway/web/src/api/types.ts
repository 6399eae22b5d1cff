// The parts of the API's answers that the page uses; /openapi.json describes all of them.

export type Triple = readonly [number, number, number];
export type JobState = "pending" | "running" | "completed" | "failed" | "cancelled";

export interface Progress {
  fraction: number;
  done_tiles: number;
  total_tiles: number;
  stage: string;
  eta_s: number | null;
}

export interface Artifact {
  name: string;
  size_bytes: number;
  media_type: string;
  sha256: string;
  url: string;
}

export interface JobError {
  code: string;
  message: string;
  hint: string;
  retryable: boolean;
  attempt: number;
}

export interface JobWarning {
  code: string;
  message: string;
  hint: string;
}

export interface JobEvent {
  n: number;
  type: string;
  state: JobState;
  attempt: number;
  at: string;
  reason: string;
}

export interface VolumeSummary {
  name: string;
  shape: Triple;
  voxel_size_A: Triple;
  path: string | null;
  file_id: string | null;
  job_id: string | null;
  dtype: string | null;
  warnings: string[];
}

export interface Job {
  job_id: string;
  state: JobState;
  name: string;
  engine: string;
  params: Record<string, unknown>;
  volume: VolumeSummary;
  priority: number;
  progress: Progress;
  attempt: number;
  cancel_requested: boolean;
  artifacts: Artifact[];
  warnings: JobWarning[];
  estimates: Record<string, number | string>;
  errors: JobError[];
  created_at: string;
  started_at: string | null;
  updated_at: string;
  completed_at: string | null;
  history: JobEvent[];
  owner: string;
}

export interface JobPage {
  jobs: Job[];
  cursor: string | null;
}

export interface Level {
  shape: Triple;
  voxel_size_A: Triple;
}

export interface Volume {
  name: string;
  kind: "tomogram" | "labels" | "scores";
  zarr_path: string;
  shape: Triple;
  dtype: string;
  voxel_size_A: Triple;
  placement_A: Triple;
  levels: Level[];
  contrast_limits: [number, number] | null;
  slice_url: string;
}

export interface JobVolumes {
  job_id: string;
  zarr: { v0_5: string; v0_4: string };
  volumes: Volume[];
  unreadable: { zarr_path: string; problem: string }[];
  hint: string;
}

export interface Health {
  version: string;
  uptime_s: number;
}

/** States after which nothing more happens to a job, unless it is retried. */
export function isFinal(state: JobState): boolean {
  return state === "completed" || state === "failed" || state === "cancelled";
}
