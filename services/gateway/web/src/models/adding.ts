// A trained model that is added: its file on the way to the server, and what the server says of it.

import { signal } from "@preact/signals";
import { addModel } from "../api/client.ts";
import type { TrainedModel } from "../api/types.ts";
import { onSignedOut } from "../app/store.ts";
import { transport } from "../upload/transport.ts";
import { type Snapshot, Upload } from "../upload/upload.ts";
import { refreshModels } from "./list.ts";

export interface AddedModel {
  file: File;
  /** Null until it is started. */
  upload: Upload<TrainedModel> | null;
  snapshot: Snapshot<TrainedModel> | null;
}

export const MODEL_FILES = ".zip,.tar,.tar.gz,.tgz,.ckpt";
const NAME_LONGEST = 64;
const BAD_REQUEST = 400;
const TOO_LARGE = 413;

/** The model that is being added; null without one. */
export const adding = signal<AddedModel | null>(null);
export const modelName = signal("");
/** The model that was added last. */
export const lastAdded = signal<TrainedModel | null>(null);

/** Choose another file: what was sent of the one before is removed. */
export function chooseModel(file: File): void {
  discardModel();
  adding.value = { file, upload: null, snapshot: null };
  modelName.value = nameFrom(file.name);
  lastAdded.value = null;
}

/** Send the file, and make a model of it; a name that is taken can be changed, without sending it again. */
export function startAdding(): void {
  const found = adding.value;
  if (!found) return;
  const { file } = found;
  const upload = found.upload && !isRefused(found) ? found.upload : newUpload(file);
  adding.value = { file, upload, snapshot: upload.snapshot };
  void upload.run();
}

export function discardModel(): void {
  void adding.value?.upload?.remove();
  adding.value = null;
}

/** Whether a model is on its way. */
export function isAdding({ snapshot }: AddedModel): boolean {
  return snapshot !== null && snapshot.phase !== "failed" && snapshot.phase !== "paused";
}

/** Whether the server has refused the file itself. */
export function isRefused({ snapshot }: AddedModel): boolean {
  const status = snapshot?.phase === "failed" ? snapshot.problem?.status : undefined;
  return status === BAD_REQUEST || status === TOO_LARGE;
}

function newUpload(file: File): Upload<TrainedModel> {
  const identity = { name: file.name, size: file.size, lastModified: file.lastModified };
  const complete = (uploadId: string) => addModel(uploadId, modelName.value.trim());
  return new Upload(identity, file, { ...transport, complete, made: () => undefined }, note);
}

function note(upload: Upload<TrainedModel>): void {
  const found = adding.value;
  if (found?.upload !== upload) return;
  const { snapshot } = upload;
  adding.value = { ...found, snapshot };
  if (!snapshot.record) return;
  adding.value = null;
  lastAdded.value = snapshot.record;
  void refreshModels();
}

/** A name for the model in a file, of the characters that names have. */
export function nameFrom(filename: string): string {
  const stem = filename.replace(/\.(zip|tar|tar\.gz|tgz|ckpt)$/i, "");
  const name = stem.replace(/[^0-9A-Za-z_.-]+/g, "-").slice(0, NAME_LONGEST);
  return name.replace(/^[^0-9A-Za-z]+|[^0-9A-Za-z]+$/g, "") || "model";
}

onSignedOut(() => {
  discardModel();
  lastAdded.value = null;
});
