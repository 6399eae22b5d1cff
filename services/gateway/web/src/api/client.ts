// Requests to the gateway that served this page. The browser sends the sign-in cookie by itself.

import { ApiError, responseError, unavailable } from "./errors.ts";
import type {
  FileRecord,
  Health,
  InputPage,
  Job,
  JobPage,
  JobState,
  JobVolumes,
  ModelPage,
  ServerInfo,
  Session,
  TrainedModel,
  Triple,
} from "./types.ts";

export interface RequestOptions {
  method?: string;
  /** Sent as JSON. */
  json?: unknown;
  body?: BodyInit;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** An answer of the server that has arrived as a whole. */
export class Answer {
  constructor(
    readonly headers: Headers,
    private readonly content: ArrayBuffer,
  ) {}

  arrayBuffer(): ArrayBuffer {
    return this.content;
  }

  blob(): Blob {
    return new Blob([this.content], { type: this.headers.get("Content-Type") ?? "" });
  }

  text(): string {
    return new TextDecoder().decode(this.content);
  }

  json(): unknown {
    return JSON.parse(this.text());
  }
}

/**
 * Send a request and return the answer.
 *
 * @throws {ApiError} The server refused, could not be reached, or was lost in the middle of its answer; a request that
 * was aborted throws what the browser throws.
 */
export async function request(path: string, options: RequestOptions = {}): Promise<Answer> {
  const { json, ...rest } = options;
  const headers = { ...options.headers, ...(json === undefined ? {} : { "Content-Type": "application/json" }) };
  const body = json === undefined ? options.body : JSON.stringify(json);
  try {
    const response = await fetch(path, { ...rest, headers, body: body ?? null, signal: options.signal ?? null });
    if (!response.ok) throw await responseError(response);
    return new Answer(response.headers, await response.arrayBuffer());
  } catch (error) {
    if (options.signal?.aborted || error instanceof ApiError) throw error;
    throw unavailable();
  }
}

async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await request(path, signal ? { signal } : {})).json()) as T;
}

const jobPath = (id: string) => `/v1/jobs/${encodeURIComponent(id)}`;

/** Where an output file of a job is. */
export function artifactPath(jobId: string, name: string): string {
  return `${jobPath(jobId)}/artifacts/${encodeURIComponent(name)}`;
}

export interface JobsQuery {
  limit?: number;
  cursor?: string;
  state?: JobState;
  engine?: string;
  owner?: string;
  name?: string;
  search?: string;
  /** Times as in 2026-11-30T12:00:00Z; jobs of exactly these times are left out. */
  created_after?: string;
  created_before?: string;
}

export interface ListedJobs extends JobPage {
  /** Whether the server requires tokens: only such a server limits requests. */
  locked: boolean;
}

export async function listJobs(query: JobsQuery = {}, signal?: AbortSignal): Promise<ListedJobs> {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
  const response = await request(`/v1/jobs?${search}`, signal ? { signal } : {});
  const page = (await response.json()) as JobPage;
  return { ...page, locked: response.headers.has("X-RateLimit-Limit") };
}

export const getJob = (id: string, signal?: AbortSignal) => getJson<Job>(jobPath(id), signal);

export const jobVolumes = (id: string, signal?: AbortSignal) => getJson<JobVolumes>(`${jobPath(id)}/volumes`, signal);

/** The newest preview of a job as a binary frame; null if it has none. */
export async function newestFrame(id: string, signal?: AbortSignal): Promise<ArrayBuffer | null> {
  try {
    return await (await request(`${jobPath(id)}/preview`, signal ? { signal } : {})).arrayBuffer();
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

export interface ThresholdRequest {
  high: number;
  min_volume_nm3: number;
  name: string;
}

/** Re-threshold the score map of a finished job in a new job. */
export async function thresholdJob(id: string, body: ThresholdRequest): Promise<Job> {
  return (await (await request(`${jobPath(id)}/threshold`, { method: "POST", json: body })).json()) as Job;
}

/** Submit a job; the same key makes one job of any number of tries. */
export async function submitJob(body: object, key: string): Promise<Job> {
  const headers = { "Idempotency-Key": key };
  return (await (await request("/v1/jobs", { method: "POST", json: body, headers })).json()) as Job;
}

export async function cancelJob(id: string): Promise<Job> {
  return (await (await request(jobPath(id), { method: "DELETE" })).json()) as Job;
}

/** Queue a failed or cancelled job again. */
export async function retryJob(id: string): Promise<Job> {
  return (await (await request(`${jobPath(id)}/retry`, { method: "POST" })).json()) as Job;
}

/** Delete a job that has ended, with its files. */
export async function deleteJob(id: string): Promise<void> {
  await request(`${jobPath(id)}/delete`, { method: "POST" });
}

export const serverInfo = (signal?: AbortSignal) => getJson<ServerInfo>("/v1/server/info", signal);

const workerPath = (name: string) => `/v1/workers/${encodeURIComponent(name)}`;

/** Let a worker end its job and take no other. */
export async function drainWorker(name: string): Promise<void> {
  await request(`${workerPath(name)}/drain`, { method: "POST" });
}

/** Let a drained worker take jobs again. */
export async function resumeWorker(name: string): Promise<void> {
  await request(`${workerPath(name)}/resume`, { method: "POST" });
}

/** Refuse a worker from now on; its job goes back into the queue. */
export async function removeWorker(name: string): Promise<void> {
  await request(workerPath(name), { method: "DELETE" });
}

/** All trained models, by name. */
export async function listModels(): Promise<TrainedModel[]> {
  const found: TrainedModel[] = [];
  let cursor: string | null = null;
  do {
    const query: string = cursor === null ? "" : `?cursor=${encodeURIComponent(cursor)}`;
    const page: ModelPage = await getJson<ModelPage>(`/v1/models${query}`);
    found.push(...page.models);
    cursor = page.cursor;
  } while (cursor !== null);
  return found;
}

/** Accept the licence of a model, as it states it, once for the whole server. */
export async function acceptLicence(name: string, licence: string): Promise<void> {
  await request(`/v1/models/${encodeURIComponent(name)}/accept-licence`, { method: "POST", json: { licence } });
}

/** Make a model of an upload that was not completed. */
export async function addModel(uploadId: string, name: string): Promise<TrainedModel> {
  const json = { upload_id: uploadId, name };
  return (await (await request("/v1/models", { method: "POST", json })).json()) as TrainedModel;
}

export async function removeModel(name: string): Promise<void> {
  await request(`/v1/models/${encodeURIComponent(name)}`, { method: "DELETE" });
}

/** Where an uploaded file can be read. */
export function fileUrl(id: string): string {
  return `/v1/files/${encodeURIComponent(id)}`;
}

/** The uploaded files, newest first. */
export async function listFiles(signal?: AbortSignal): Promise<FileRecord[]> {
  return (await getJson<{ files: FileRecord[] }>("/v1/files", signal)).files;
}

/** The folders and tomograms in a folder that the server may read; an empty path lists these folders. */
export function listInputs(path: string, cursor: string | null, signal?: AbortSignal): Promise<InputPage> {
  const query = new URLSearchParams({ path, ...(cursor === null ? {} : { cursor }) });
  return getJson<InputPage>(`/v1/inputs?${query}`, signal);
}

export const health = (signal?: AbortSignal) => getJson<Health>("/v1/healthz", signal);
export const readiness = (signal?: AbortSignal) => getJson<{ workers: number }>("/v1/readyz", signal);

/** Sign in: the token goes into a cookie that no script can read. */
export async function signIn(token: string): Promise<void> {
  await request("/v1/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
}

/** Whose token the page uses, and what it allows. */
export const getSession = () => getJson<Session>("/v1/session");

export async function signOut(): Promise<void> {
  await request("/v1/session", { method: "DELETE" });
}

/** State which voxel (z, y, x) the visitor looks at: a running job computes tiles near to it first. */
export async function setFocus(id: string, position: Triple): Promise<void> {
  await request(`${jobPath(id)}/focus`, { method: "PUT", json: { position } });
}

/** Replace the strokes that a job learns from while it has not ended. */
export async function setStrokes(id: string, strokes: object): Promise<Job> {
  return (await (await request(`${jobPath(id)}/strokes`, { method: "PUT", json: strokes })).json()) as Job;
}
