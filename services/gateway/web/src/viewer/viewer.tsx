// The viewer of a job: sections along three axes or a surface, and how they are shown.

import { type Signal, signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo } from "preact/hooks";
import { type Job, isFinal } from "../api/types.ts";
import { jobs, live } from "../app/store.ts";
import { printable } from "../app/text.ts";
import { PIXELS } from "../paint/strokes.ts";
import { server } from "../server/info.ts";
import { Controls } from "./controls.tsx";
import { AXES, PLANE_NAMES } from "./geometry.ts";
import { type LargeView, ViewerModel } from "./model.ts";
import { Pane } from "./pane.tsx";
import { Readout } from "./readout.tsx";
import { statusTexts } from "./status.ts";
import { SurfacePane } from "./surface-pane.tsx";

export function Viewer({ jobId }: { jobId: string }) {
  const job = jobs.value.get(jobId);
  return job ? <JobViewer key={jobId} job={job} /> : null;
}

function JobViewer({ job }: { job: Job }) {
  const { model, record } = useMemo(() => makeModel(job), []);
  useLayoutEffect(() => {
    record.value = job;
  }, [job]);
  useEffect(() => {
    const end = live.followFrames(job.job_id, (frame) => model.onFrame(frame));
    return () => {
      end();
      model.close();
    };
  }, [model]);
  useEffect(() => void model.load(), [model, job.state, job.artifacts.length]);
  // A sentence that comes and goes would move the section under the brush.
  const painting = model.painter.on.value && !isFinal(job.state);
  const texts = painting ? [] : statusTexts(job, model.volumes.value, model.frame.value);
  const empty = model.volumes.value !== null && model.images.value.size === 0 && model.frame.value === null;
  return (
    <section class="viewer" aria-label="Viewer" data-full={model.full.value} onKeyDown={(event) => handleKey(event, model)}>
      <ViewBar model={model} />
      {[...texts, model.problem.value].filter(Boolean).map((text) => (
        <p key={text} class="viewer-status" role="status">{printable(text)}</p>
      ))}
      {!empty && (
        <div class="viewer-body">
          <div>
            <Stage model={model} />
            <Readout model={model} />
          </div>
          <Controls model={model} />
        </div>
      )}
    </section>
  );
}

function handleKey(event: KeyboardEvent, model: ViewerModel): void {
  const { target } = event;
  const entering = target instanceof HTMLInputElement && (target.type === "text" || target.type === "number");
  const { painter } = model;
  if (event.ctrlKey || event.metaKey) {
    if (event.key.toLowerCase() !== "z" || entering || !painter.on.peek()) return;
    if (event.shiftKey) painter.redo();
    else painter.undo();
  } else if (event.altKey) return;
  else if (event.key === "f" && !entering) model.full.value = !model.full.peek();
  else if (event.key === "b" && !entering && canPaint(model)) painter.on.value = !painter.on.peek();
  else if (event.key === "Escape" && model.full.peek()) model.full.value = false;
  else return;
  event.preventDefault();
}

/** Whether there is a tomogram to paint on, and an engine that learns from it. */
function canPaint({ job, tomogram }: ViewerModel): boolean {
  const { path, file_id: fileId } = job.value.volume;
  const engine = server.value?.engines.find(({ name }) => name === PIXELS);
  return tomogram.value !== null && Boolean(path ?? fileId) && engine?.available === true;
}

function makeModel(job: Job): { model: ViewerModel; record: Signal<Job> } {
  const record = signal(job);
  return { model: new ViewerModel(record), record };
}

const VIEWS: readonly [LargeView, string][] = [
  ...AXES.map((axis): [LargeView, string] => [axis, PLANE_NAMES[axis]]),
  ["3d", "3D"],
];

function ViewBar({ model }: { model: ViewerModel }) {
  const { large, painter } = model;
  const frame = model.frame.value;
  const running = model.job.value.state === "running";
  return (
    <div class="viewer-bar">
      <div class="segmented" role="group" aria-label="Large view">
        {VIEWS.map(([view, name]) => (
          <button
            key={name}
            type="button"
            aria-pressed={large.value === view}
            onClick={() => (large.value = view)}
          >
            {name}
          </button>
        ))}
      </div>
      <button type="button" onClick={() => model.cameras.forEach((camera) => (camera.value = null))}>Fit</button>
      <button
        id="crosshair"
        type="button"
        class="toggle"
        aria-pressed={model.showCrosshair.value}
        onClick={() => (model.showCrosshair.value = !model.showCrosshair.peek())}
      >
        Crosshair
      </button>
      <button
        id="full-window"
        type="button"
        class="toggle"
        aria-pressed={model.full.value}
        title="The viewer alone, in the whole window (F)"
        onClick={() => (model.full.value = !model.full.peek())}
      >
        Full window
      </button>
      {(canPaint(model) || painter.on.value) && (
        <button
          id="paint"
          type="button"
          class="toggle"
          aria-pressed={painter.on.value}
          title="Paint strokes on the tomogram, and find what looks like them (B)"
          onClick={() => (painter.on.value = !painter.on.peek())}
        >
          Paint
        </button>
      )}
      {running && frame && (
        <p id="preview-kind" class="live-mark">{frame.coarse ? "Quick preview" : "Live preview"}</p>
      )}
    </div>
  );
}

function Stage({ model }: { model: ViewerModel }) {
  const large = model.large.value;
  return (
    <div class={large === "3d" ? "stage with-surface" : "stage"}>
      {large === "3d" && <SurfacePane model={model} />}
      {AXES.map((axis) => <Pane key={axis} model={model} axis={axis} large={large === axis} />)}
    </div>
  );
}
