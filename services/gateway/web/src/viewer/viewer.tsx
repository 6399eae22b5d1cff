// The viewer of a job: sections along three axes or a surface, and how they are shown.

import { type Signal, signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo } from "preact/hooks";
import type { Job } from "../api/types.ts";
import { jobs, live } from "../app/store.ts";
import { printable } from "../app/text.ts";
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
  const texts = statusTexts(job, model.volumes.value, model.frame.value);
  const empty = model.volumes.value !== null && model.images.value.size === 0 && model.frame.value === null;
  return (
    <section class="viewer" aria-label="Viewer">
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

function makeModel(job: Job): { model: ViewerModel; record: Signal<Job> } {
  const record = signal(job);
  return { model: new ViewerModel(record), record };
}

const VIEWS: readonly [LargeView, string][] = [
  ...AXES.map((axis): [LargeView, string] => [axis, PLANE_NAMES[axis]]),
  ["3d", "3D"],
];

function ViewBar({ model }: { model: ViewerModel }) {
  const { large } = model;
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
