import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { printable } from "../app/text.ts";
import { serverProblem } from "../server/info.ts";
import { uploads } from "../upload/queue.ts";
import { filesBeingRead } from "./add-files.ts";
import {
  attempted,
  engine,
  formProblem,
  isPristine,
  paintsFirst,
  parsed,
  parsedVoxelSize,
  refused,
  region,
  regionSource,
  startOver,
  volumes,
} from "./draft.ts";
import { EngineCards } from "./engine-cards.tsx";
import { Options } from "./options.tsx";
import type { OrderedJob } from "./orders.ts";
import { Parameters } from "./parameters.tsx";
import { place, waiting } from "./placed.ts";
import { VolumePicker } from "./volume-picker.tsx";

export function NewJob() {
  const form = useRef<HTMLFormElement>(null);
  const busy = waiting.value.length > 0;
  useEffect(() => {
    if (refused.value) focusProblem(form.current);
  }, [refused.value]);
  const reading = useSignal(false);
  const start = async (event: Event) => {
    event.preventDefault();
    // A second press, while the first one waits for a file, must not start the job twice.
    if (reading.value) return;
    for (let files = filesBeingRead(); files; files = filesBeingRead()) {
      reading.value = true;
      await files;
    }
    reading.value = false;
    attempted.value = true;
    const missing = firstProblem();
    formProblem.value = missing;
    if (missing) focusProblem(form.current);
    else place();
  };
  return (
    <form ref={form} id="new" class="new-job" aria-labelledby="new-title" noValidate onSubmit={(event) => void start(event)}>
      <div class="new-head">
        <h2 id="new-title">New job</h2>
        {!isPristine.value && !busy && (
          <button id="start-over" type="button" class="quiet" onClick={startOver}>
            Start over
          </button>
        )}
      </div>
      {serverProblem.value && <p class="message danger">{printable(serverProblem.value)}</p>}
      <VolumePicker />
      <EngineCards />
      {paintsFirst.value && (
        <p class="message note" id="paints-first">
          You paint on the page of the job, which opens at once. Until there are strokes, it shows a plain threshold. With a
          model that was trained before, no strokes are needed: choose it below.
        </p>
      )}
      <Parameters />
      <Options />
      <footer class="submit-bar">
        <p id="form-problem" class={formProblem.value && !reading.value ? "problem" : "secondary"} role="status">
          {reading.value ? "Reading the files …" : printable(formProblem.value || waitingText(waiting.value[0]))}
        </p>
        <button id="start" class="primary" disabled={busy}>
          {startWords()}
        </button>
      </footer>
    </form>
  );
}

function startWords(): string {
  const several = volumes.value.length > 1;
  if (paintsFirst.value && !several) return "Start and paint";
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

function waitingText(first: OrderedJob | undefined): string {
  if (!first) return "";
  if (first.problem) return first.problem;
  return first.state === "uploading"
    ? `Starts as soon as ${first.label} is uploaded. You can leave this page, but not close it.`
    : "Submitting …";
}
