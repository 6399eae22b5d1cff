// Unfinished uploads in the browser's storage, so that a page that was loaded again can resume them.

import type { FileIdentity } from "./upload.ts";

export interface SavedUpload extends FileIdentity {
  uploadId: string;
}

export type TextStorage = Pick<Storage, "getItem" | "setItem" | "removeItem">;

const KEY = "cryomamba.uploads";

export function savedUploads(storage: TextStorage): SavedUpload[] {
  try {
    const found: unknown = JSON.parse(storage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter(isSaved) : [];
  } catch {
    // Storage may be switched off, or hold what another version has written.
    return [];
  }
}

export function saveUpload(storage: TextStorage, upload: SavedUpload): void {
  write(storage, [...savedUploads(storage).filter(({ uploadId }) => uploadId !== upload.uploadId), upload]);
}

export function forgetUpload(storage: TextStorage, uploadId: string): void {
  write(
    storage,
    savedUploads(storage).filter((saved) => saved.uploadId !== uploadId),
  );
}

/** The next user of this browser may be somebody else. */
export function forgetAllUploads(storage: TextStorage): void {
  write(storage, []);
}

function write(storage: TextStorage, uploads: SavedUpload[]): void {
  try {
    if (uploads.length) storage.setItem(KEY, JSON.stringify(uploads));
    else storage.removeItem(KEY);
  } catch {
    // Without storage an upload still runs; it only cannot be resumed after the page is loaded again.
  }
}

function isSaved(value: unknown): value is SavedUpload {
  if (typeof value !== "object" || value === null) return false;
  const { uploadId, name, size, lastModified } = value as Record<string, unknown>;
  return (
    [uploadId, name].every((one) => typeof one === "string") &&
    [size, lastModified].every((one) => typeof one === "number")
  );
}
