// The uploads of this page: one file after the other, while the visitor does something else.

import { computed, signal } from "@preact/signals";
import { ApiError } from "../api/errors.ts";
import type { UploadStatus } from "../api/types.ts";
import { forgetUpload, saveUpload, savedUploads } from "./saved.ts";
import { transport } from "./transport.ts";
import { type FileIdentity, type Snapshot, Upload } from "./upload.ts";

export interface QueuedUpload {
  key: number;
  upload: Upload;
  snapshot: Snapshot;
}

const ACTIVE = new Set<string>(["sending", "checking", "unreachable"]);

/** In the order in which they were added. */
export const uploads = signal<readonly QueuedUpload[]>([]);

/** Whether a file is on its way, or waits for its turn. */
export const isUploading = computed(() =>
  uploads.value.some(({ snapshot }) => ACTIVE.has(snapshot.phase) || snapshot.phase === "waiting"),
);

let nextKey = 1;

export function addUpload(file: File): QueuedUpload {
  const identity = { name: file.name, size: file.size, lastModified: file.lastModified };
  return enqueue(identity, file);
}

/** An upload that waits for this file since the page was loaded again. */
export function interrupted(file: File): QueuedUpload | undefined {
  return uploads.value.find(({ upload }) => upload.phase === "needs-file" && upload.matches(file));
}

/** Go on with an upload whose file was chosen again, or that was paused or has failed. */
export function resume(key: number, file?: File): void {
  const found = uploads.value.find((queued) => queued.key === key)?.upload;
  if (!found) return;
  if (file) found.give(file);
  else if (found.phase === "paused" || found.phase === "failed") found.queue();
  runNext();
}

export function remove(key: number): void {
  const found = uploads.value.find((queued) => queued.key === key);
  if (!found) return;
  uploads.value = uploads.value.filter((queued) => queued !== found);
  forgetUpload(localStorage, found.upload.uploadId);
  void found.upload.remove();
  runNext();
}

/** Find the unfinished uploads of an earlier visit. */
export async function restore(): Promise<QueuedUpload[]> {
  const found: QueuedUpload[] = [];
  for (const { uploadId, ...identity } of savedUploads(localStorage)) {
    if (uploads.value.some(({ upload }) => upload.uploadId === uploadId)) continue;
    try {
      found.push(enqueue(identity, undefined, await transport.status(uploadId)));
    } catch (error) {
      // It has expired, or belongs to somebody else. Without a connection it is found at the next visit.
      if (error instanceof ApiError && error.status === 404) forgetUpload(localStorage, uploadId);
    }
  }
  return found;
}

/** Stop all uploads; what is on the server stays, so that they can be resumed. */
export function dropUploads(): void {
  for (const { upload } of uploads.value) upload.pause();
  uploads.value = [];
}

function enqueue(identity: FileIdentity, file: File | undefined, status?: UploadStatus): QueuedUpload {
  const key = nextKey++;
  const upload = new Upload(identity, file, transport, note, status);
  const queued = { key, upload, snapshot: upload.snapshot };
  uploads.value = [...uploads.value, queued];
  runNext();
  return queued;
}

function note(changed: Upload): void {
  uploads.value = uploads.value.map((queued) =>
    queued.upload === changed ? { ...queued, snapshot: changed.snapshot } : queued,
  );
  remember(changed);
  if (changed.ended || changed.phase === "paused") runNext();
}

const remembered = new Set<string>();
/** The server has removed what is not a volume. */
const NOT_A_VOLUME = 422;

function remember({ phase, uploadId, identity, problem }: Upload): void {
  if (phase === "done" || (phase === "failed" && problem?.status === NOT_A_VOLUME)) {
    forgetUpload(localStorage, uploadId);
  } else if (uploadId && !remembered.has(uploadId)) {
    remembered.add(uploadId);
    saveUpload(localStorage, { ...identity, uploadId });
  }
}

function runNext(): void {
  if (uploads.value.some(({ upload }) => ACTIVE.has(upload.phase))) return;
  const next = uploads.value.find(({ upload }) => upload.phase === "waiting");
  void next?.upload.run();
}
