// The jobs that were ordered from the form: what became of them, wherever the visitor is by then.

import { computed, effect, signal } from "@preact/signals";
import { go, jobHref, listHref, route } from "../app/route.ts";
import { openToPaint } from "../paint/painter.ts";
import {
  TO_PAINT_ON,
  clearDraft,
  engine,
  fields,
  formProblem,
  jobName,
  priority,
  paintsFirst,
  parsed,
  parsedVoxelSize,
  refused,
  region,
  regionSource,
  updateVolume,
  volumes,
} from "./draft.ts";
import { type OrderedJob, dropOrder, orders, placeOrder } from "./orders.ts";
import type { Order, Refusal } from "./request.ts";

/** The shape of a demo job, which needs no tomogram. */
const DEMO_SHAPE = [128, 128, 128];

const keys = signal<readonly string[]>([]);
/** Of those, the jobs that are there to paint on. */
const toPaintOn = new Set<string>();
const mine = computed(() => orders.value.filter(({ key }) => keys.value.includes(key)));
/** The jobs that are not submitted yet. */
export const waiting = computed(() =>
  mine.value.filter(({ state }) => state === "uploading" || state === "submitting"),
);

/** Order a job for each volume of the form. */
export function place(): void {
  const order = currentOrder();
  const chosen = engine.value;
  if (!order || !chosen) return;
  refused.value = null;
  for (const { key } of volumes.value) updateVolume(key, { problem: "" });
  const several = volumes.value.length > 1;
  const demo = { label: "demo", volume: { shape: DEMO_SHAPE }, uploadKey: null };
  keys.value =
    volumes.value.length === 0
      ? [placeOrder(order, false, demo)]
      : volumes.value.map(({ label, source, uploadKey }) =>
          placeOrder(order, several, { label, volume: source, uploadKey }),
        );
  if (paintsFirst.peek()) for (const key of keys.value) toPaintOn.add(key);
}

effect(() => {
  const done = mine.value;
  if (done.length === 0 || waiting.value.length > 0) return;
  keys.value = [];
  for (const { key } of done) dropOrder(key);
  const refusals = done.filter(({ state }) => state === "refused");
  if (refusals.length > 0) showRefusals(refusals, done);
  else finish(done);
});

function finish(done: readonly OrderedJob[]): void {
  const [only] = done;
  for (const { key, job } of done) if (toPaintOn.delete(key) && job) openToPaint(job.job_id);
  clearDraft();
  if (route.peek().page === "new") go(done.length === 1 && only?.job ? jobHref(only.job.job_id) : listHref());
}

function currentOrder(): Order | null {
  const chosen = engine.value;
  const size = parsedVoxelSize.value;
  if (!chosen || "problem" in size) return null;
  return {
    ...(paintsFirst.value ? { engine: TO_PAINT_ON, params: {} } : { engine: chosen.name, params: parsed.value.params }),
    parameterNames: new Set(fields.value.map(({ name }) => name)),
    voxelSize: size.value,
    within: regionSource(region.value),
    name: jobName.value.trim(),
    priority: priority.value,
  };
}

/** Keep the volumes whose jobs were refused, with the reason, and drop the others: their jobs run. */
function showRefusals(refusals: readonly OrderedJob[], mine: readonly OrderedJob[]): void {
  const merged: Refusal = { params: {}, volume: "", voxelSize: "", within: "", name: "", form: "" };
  for (const { refusal } of refusals) if (refusal) Object.assign(merged, withoutEmpty(refusal));
  refused.value = merged;
  formProblem.value = merged.form || "The server refused this: see what is marked.";
  const remaining = new Set(refusals.map(({ label, uploadKey }) => `${uploadKey} ${label}`));
  if (mine.length > refusals.length) {
    volumes.value = volumes.value.filter(({ label, uploadKey }) => remaining.has(`${uploadKey} ${label}`));
  }
  for (const { label, uploadKey, refusal } of refusals) {
    const volume = volumes.value.find((one) => one.label === label && one.uploadKey === uploadKey);
    if (volume && refusal?.volume) updateVolume(volume.key, { problem: refusal.volume });
  }
}

function withoutEmpty(refusal: Refusal): Partial<Refusal> {
  return Object.fromEntries(Object.entries(refusal).filter(([, value]) => value !== "")) as Partial<Refusal>;
}
