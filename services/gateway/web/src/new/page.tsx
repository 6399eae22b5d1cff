import { useEffect, useRef, useState } from "preact/hooks";
import { go, jobHref, listHref } from "../app/route.ts";
import { printable } from "../app/text.ts";
import { serverProblem } from "../server/info.ts";
import { uploads } from "../upload/queue.ts";
import {
  attempted,
  clearDraft,
  engine,
  fields,
  isPristine,
  jobName,
  parsed,
  parsedVoxelSize,
  refused,
  region,
  regionSource,
  startOver,
  updateVolume,
  volumes,
} from "./draft.ts";
import { EngineCards } from "./engine-cards.tsx";
import { Options } from "./options.tsx";
import { type OrderedJob, dropOrder, orders, placeOrder } from "./orders.ts";
import { Parameters } from "./parameters.tsx";
import type { Order, Refusal } from "./request.ts";
import { VolumePicker } from "./volume-picker.tsx";

/** The shape of a demo job, which needs no tomogram. */
const DEMO_SHAPE = [128, 128, 128];

export function NewJob() {
  const form = useRef<HTMLFormElement>(null);
  const [problem, setProblem] = useState("");
  const placed = usePlaced(form, setProblem);
  const start = (event: Event) => {
    event.preventDefault();
    attempted.value = true;
    const missing = firstProblem();
    setProblem(missing);
    if (missing) return focusProblem(form.current);
    placed.place();
  };
  return (
    <form ref={form} id="new" class="new-job" aria-labelledby="new-title" noValidate onSubmit={start}>
      <div class="new-head">
        <h2 id="new-title">New job</h2>
        {!isPristine.value && !placed.busy && (
          <button id="start-over" type="button" class="quiet" onClick={startOver}>
            Start over
          </button>
        )}
      </div>
      {serverProblem.value && <p class="message danger">{printable(serverProblem.value)}</p>}
      <VolumePicker />
      <EngineCards />
      <Parameters />
      <Options />
      <footer class="submit-bar">
        <p id="form-problem" class={problem ? "problem" : "secondary"} role="status">
          {printable(problem || placed.text)}
        </p>
        <button id="start" class="primary" disabled={placed.busy}>
          {startWords()}
        </button>
      </footer>
    </form>
  );
}

function startWords(): string {
  const several = volumes.value.length > 1;
  const uploading = volumes.value.some(({ source }) => source === null);
  if (uploading) return several ? `Start ${volumes.value.length} jobs when uploaded` : "Start when uploaded";
  return several ? `Start ${volumes.value.length} jobs` : "Start";
}

/** What keeps the job from being submitted, in one sentence; each field says more. */
function firstProblem(): string {
  const chosen = engine.value;
  if (!chosen) return "Choose what to find.";
  if (chosen.needs_volume && volumes.value.length === 0) return "Add a tomogram first.";
  if (volumes.value.some(hasFailed)) return "Remove the tomograms that cannot be used, or choose them again.";
  if (Object.keys(parsed.value.problems).length > 0) return "Correct the marked settings.";
  if ("problem" in parsedVoxelSize.value) return "Correct the voxel size.";
  if (regionSource(region.value) === null && region.value.kind !== "everywhere")
    return "Choose the mask, or search everywhere.";
  if (region.value.kind !== "everywhere" && region.value.value.trim() === "")
    return "Choose the mask, or search everywhere.";
  return "";
}

function hasFailed({ uploadKey, source }: { uploadKey: number | null; source: object | null }): boolean {
  if (source !== null || uploadKey === null) return false;
  const phase = uploads.value.find(({ key }) => key === uploadKey)?.snapshot.phase;
  return phase === undefined || phase === "failed" || phase === "needs-file";
}

function focusProblem(form: HTMLFormElement | null): void {
  requestAnimationFrame(() => form?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus());
}

/** The jobs that were ordered from this form: what became of them. */
function usePlaced(form: { current: HTMLFormElement | null }, setProblem: (text: string) => void) {
  const [keys, setKeys] = useState<readonly string[]>([]);
  const mine = orders.value.filter(({ key }) => keys.includes(key));
  const waiting = mine.filter(({ state }) => state === "uploading" || state === "submitting");
  useEffect(() => {
    if (mine.length === 0 || waiting.length > 0) return;
    setKeys([]);
    const refusals = mine.filter(({ state }) => state === "refused");
    for (const { key } of mine) dropOrder(key);
    if (refusals.length > 0) {
      showRefusals(refusals, mine);
      setProblem(
        refusals.find(({ refusal }) => refusal?.form)?.refusal?.form ?? "The server refused this: see what is marked.",
      );
      focusProblem(form.current);
      return;
    }
    const [only] = mine;
    clearDraft();
    go(mine.length === 1 && only?.job ? jobHref(only.job.job_id) : listHref());
  }, [orders.value]);
  const place = () => {
    const order = currentOrder();
    const chosen = engine.value;
    if (!order || !chosen) return;
    refused.value = null;
    const several = volumes.value.length > 1;
    const inputs = chosen.needs_volume || volumes.value.length > 0 ? volumes.value : [];
    const demo = { label: "demo", volume: { shape: DEMO_SHAPE }, uploadKey: null };
    setKeys(
      inputs.length === 0
        ? [placeOrder(order, false, demo)]
        : inputs.map(({ label, source, uploadKey }) =>
            placeOrder(order, several, { label, volume: source, uploadKey }),
          ),
    );
  };
  const [first] = waiting;
  return { place, busy: waiting.length > 0, text: first ? waitingText(first) : "" };
}

function waitingText({ state, problem, label }: OrderedJob): string {
  if (problem) return problem;
  return state === "uploading"
    ? `Starts as soon as ${label} is uploaded. You can leave this page, but not close it.`
    : "Submitting …";
}

function currentOrder(): Order | null {
  const chosen = engine.value;
  const size = parsedVoxelSize.value;
  if (!chosen || "problem" in size) return null;
  return {
    engine: chosen.name,
    params: parsed.value.params,
    parameterNames: new Set(fields.value.map(({ name }) => name)),
    voxelSize: size.value,
    within: regionSource(region.value),
    name: jobName.value.trim(),
  };
}

/** Keep the volumes whose jobs were refused, with the reason, and drop the others: their jobs run. */
function showRefusals(refusals: readonly OrderedJob[], mine: readonly OrderedJob[]): void {
  const merged: Refusal = { params: {}, volume: "", voxelSize: "", within: "", name: "", form: "" };
  for (const { refusal } of refusals) if (refusal) Object.assign(merged, withoutEmpty(refusal));
  refused.value = merged;
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
