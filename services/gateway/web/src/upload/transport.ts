// The requests of an upload. Parts go by XMLHttpRequest, because fetch does not report how much has been sent.

import { request } from "../api/client.ts";
import { ApiError, errorOf, unavailable } from "../api/errors.ts";
import type { FileRecord, UploadStatus } from "../api/types.ts";
import type { Failure, Transport } from "./upload.ts";

const RATE_LIMITED = 429;
const DISK_FULL = 507;
/** A server that has stopped answering is tried again; an answer to a part takes as long as it is written to disk. */
const STALLED_MS = 60_000;

export const transport: Transport = {
  async begin(name, size) {
    const json = { filename: name, total_size_bytes: size };
    return (await (await request("/v1/uploads/init", { method: "POST", json })).json()) as UploadStatus;
  },
  async status(uploadId) {
    return (await (await request(uploadPath(uploadId))).json()) as UploadStatus;
  },
  put: sendPart,
  async complete(uploadId) {
    return (await (await request(`${uploadPath(uploadId)}/complete`, { method: "POST" })).json()) as FileRecord;
  },
  made: ({ file }) => file ?? undefined,
  async abort(uploadId) {
    await request(uploadPath(uploadId), { method: "DELETE" });
  },
  failure,
  wait(ms, signal) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      const stop = () => {
        clearTimeout(timer);
        resolve();
      };
      if (signal.aborted) stop();
      else signal.addEventListener("abort", stop, { once: true });
    });
  },
  now: () => performance.now(),
};

function uploadPath(uploadId: string): string {
  return `/v1/uploads/${encodeURIComponent(uploadId)}`;
}

function sendPart(
  uploadId: string,
  index: number,
  part: Blob,
  onSent: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    const stop = () => sending.abort();
    let watchdog = setTimeout(stop, STALLED_MS);
    const finish = (settle: () => void) => {
      clearTimeout(watchdog);
      signal.removeEventListener("abort", stop);
      settle();
    };
    sending.upload.onprogress = ({ loaded }) => {
      clearTimeout(watchdog);
      watchdog = setTimeout(stop, STALLED_MS);
      onSent(loaded);
    };
    sending.onload = () => finish(() => (sending.status < 300 ? resolve() : reject(refusal(sending))));
    sending.onerror = () => finish(() => reject(unavailable()));
    sending.onabort = () => finish(() => reject(unavailable()));
    sending.open("PUT", `${uploadPath(uploadId)}/part/${index}`);
    sending.setRequestHeader("Content-Type", "application/octet-stream");
    if (signal.aborted) return finish(() => reject(unavailable()));
    signal.addEventListener("abort", stop, { once: true });
    sending.send(part);
  });
}

function refusal(sent: XMLHttpRequest): ApiError {
  return errorOf(sent.status, parsed(sent.responseText), sent.getResponseHeader("Retry-After"));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not the gateway's own answer: only its status is known.
    return null;
  }
}

function failure(thrown: unknown): Failure {
  if (!(thrown instanceof ApiError)) {
    // The browser could not read the file: it was moved, or the disk was unplugged.
    const message = "The file can no longer be read on this computer.";
    return { status: 0, code: "", message, hint: "Choose it again.", retryable: false };
  }
  const { status, code, message, hint, retryAfterS } = thrown;
  const retryable = status === 0 || status === RATE_LIMITED || (status >= 500 && status !== DISK_FULL);
  return { status, code, message, hint, retryable, ...(retryAfterS !== null && { retryAfterMs: 1000 * retryAfterS }) };
}
