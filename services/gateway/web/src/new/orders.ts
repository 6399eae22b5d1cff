// Jobs that were ordered: each is submitted as soon as its tomogram is on the server.

import { effect, signal } from "@preact/signals";
import { submitJob } from "../api/client.ts";
import { ApiError } from "../api/errors.ts";
import { Backoff } from "../api/backoff.ts";
import type { Job } from "../api/types.ts";
import { updateJob } from "../app/store.ts";
import { advice } from "../job/advice.ts";
import { uploads } from "../upload/queue.ts";
import { type Order, type Refusal, type Source, jobRequest, refusal } from "./request.ts";

export type OrderState = "uploading" | "submitting" | "submitted" | "refused";

export interface OrderedJob {
  key: string;
  label: string;
  order: Order;
  several: boolean;
  volume: Source | { shape: readonly number[] } | null;
  uploadKey: number | null;
  state: OrderState;
  job: Job | null;
  /** What the server has refused, sorted to the fields of the form. */
  refusal: Refusal | null;
  /** Why it is tried again. */
  problem: string;
}

export const orders = signal<readonly OrderedJob[]>([]);

const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 15_000;

/** Order a job; the key makes sure that one job comes of it, however often it is sent. */
export function placeOrder(
  order: Order,
  several: boolean,
  one: { label: string; volume: OrderedJob["volume"]; uploadKey: number | null },
): string {
  const key = randomKey();
  const state = one.volume === null ? "uploading" : "submitting";
  const ordered: OrderedJob = { ...one, key, order, several, state, job: null, refusal: null, problem: "" };
  orders.value = [...orders.value, ordered];
  if (ordered.volume !== null) void submit(key);
  return key;
}

export function dropOrder(key: string): void {
  orders.value = orders.value.filter((one) => one.key !== key);
}

/** When an upload is complete, its job is submitted. */
effect(() => {
  for (const { key, snapshot } of uploads.value) {
    const { record } = snapshot;
    if (!record) continue;
    for (const one of orders.peek()) {
      if (one.uploadKey !== key || one.state !== "uploading") continue;
      change(one.key, { volume: { file_id: record.file_id }, state: "submitting" });
      void submit(one.key);
    }
  }
});

async function submit(key: string): Promise<void> {
  const backoff = new Backoff(RETRY_MIN_MS, RETRY_MAX_MS);
  for (;;) {
    const one = orders.value.find((ordered) => ordered.key === key);
    if (!one || one.volume === null) return;
    try {
      const job = await submitJob(jobRequest(one.order, one.volume, one.label, one.several), key);
      updateJob(job);
      change(key, { state: "submitted", job, problem: "" });
      return;
    } catch (error) {
      const failed = error instanceof ApiError ? error : new ApiError(String(error), { status: 500 });
      if (!isTemporary(failed)) {
        const told = { code: failed.code, message: failed.message, advice: advice(failed), fields: failed.fields };
        change(key, { state: "refused", refusal: refusal(told, one.order.parameterNames) });
        return;
      }
      change(key, { problem: `${failed.message} Trying again.` });
      const ms = failed.retryAfterS === null ? backoff.wait() : 1000 * failed.retryAfterS;
      await new Promise((resolve) => setTimeout(resolve, ms));
    }
  }
}

/** Whether the same request may succeed soon; without a worker or space it is for the visitor to decide. */
function isTemporary({ status, code }: ApiError): boolean {
  if (code === "no_worker" || code === "insufficient_storage") return false;
  return status === 0 || status === 429 || status >= 502;
}

function change(key: string, changes: Partial<OrderedJob>): void {
  orders.value = orders.value.map((one) => (one.key === key ? { ...one, ...changes } : one));
}

// crypto.randomUUID exists only on pages with TLS.
export function randomKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
