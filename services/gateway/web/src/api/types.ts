// The parts of the API's answers that the page uses; /openapi.json describes all of them.

export type Triple = readonly [number, number, number];
export type JobState = "pending" | "running" | "completed" | "failed" | "cancelled";

export interface Progress {
  fraction: number;
  done_tiles: number;
  total_tiles: number;
  stage: string;
  eta_s: number | null;
  /** Of the Dask scheduler that distributes the tiles. */
  dashboard_url?: string | null;
}

export interface Artifact {
  name: string;
  size_bytes: number;
  media_type: string;
  sha256: string;
  url: string;
  /** Under which name browsers save it. */
  download_name: string;
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

export interface MaskSummary {
  name: string;
  path: string | null;
  file_id: string | null;
  job_id: string | null;
}

export interface Job {
  job_id: string;
  state: JobState;
  name: string;
  engine: string;
  params: Record<string, unknown>;
  volume: VolumeSummary;
  within: MaskSummary | null;
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
  /** Of a pending job that was asked for, not of one in a message. */
  queue_position: number | null;
  blocked_reason: string;
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
  kind: "tomogram" | "labels" | "scores" | "uncertainty";
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

/** An uploaded file. */
export interface FileRecord {
  file_id: string;
  filename: string;
  size_bytes: number;
  metadata: { shape: Triple; voxel_size_A: Triple };
  owner: string;
  created_at: string;
}

/** A folder or a tomogram in a folder that the server may read. */
export interface InputEntry {
  kind: "folder" | "tomogram";
  name: string;
  path: string;
  /** Of a tomogram: where it can be read without a job. */
  input_id: string | null;
  size_bytes: number | null;
  modified_at: string | null;
  shape: Triple | null;
  voxel_size_A: Triple | null;
  /** Why it cannot be used. */
  problem: string | null;
}

export interface InputPage {
  /** Empty for the list of all folders that are allowed. */
  path: string;
  parent: string | null;
  entries: InputEntry[];
  cursor: string | null;
}

export interface Session {
  owner: string;
  scopes: ("read" | "write" | "admin")[];
}

export interface UploadStatus {
  upload_id: string;
  total_size_bytes: number;
  chunk_size_bytes: number;
  received_parts: number[];
  /** The finished file. */
  file: FileRecord | null;
}

export interface EngineInfo {
  name: string;
  summary: string;
  /** JSON schema of the parameters. */
  parameters: Record<string, Json>;
  needs_volume: boolean;
  picks: "particles" | "filaments" | null;
  default: boolean;
  available: boolean;
  reason: string;
  hint: string;
}

/** A trained model that an engine runs. */
export interface TrainedModel {
  name: string;
  /** Name of the engine that runs it. */
  kind: string;
  title: string;
  summary: string;
  labels: Record<string, string>;
  voxel_size_A: Triple | null;
  size_bytes: number;
  sha256: string;
  licence: string;
  licence_accepted: boolean;
  citation: string;
  /** Connected workers that have it. */
  workers: string[];
}

export interface ModelPage {
  models: TrainedModel[];
  cursor: string | null;
}

export interface WorkerInfo {
  worker: string;
  host: string;
  version: string;
  engines: string[];
  job_id: string | null;
  drained: boolean;
  /** 0 if it is not known. */
  memory_bytes: number;
  gpus: string[];
}

export interface ServerInfo {
  version: string;
  started_at: string;
  default_engine: string | null;
  engines: EngineInfo[];
  workers: WorkerInfo[];
  system: { platform: string; cpu_count: number; gpus: { name: string; memory_bytes: number }[] };
}

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** States after which nothing more happens to a job, unless it is retried. */
export function isFinal(state: JobState): boolean {
  return state === "completed" || state === "failed" || state === "cancelled";
}
