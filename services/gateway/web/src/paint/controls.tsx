// The labels that are painted, the brush, and the job that learns from the strokes.

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { isFinal } from "../api/types.ts";
import { printable } from "../app/text.ts";
import { counted, measured } from "../format/numbers.ts";
import type { ViewerModel } from "../viewer/model.ts";
import { RADIUS_MAX } from "./painter.ts";
import { LABELS_MAX, NAME_LONGEST, PIXELS, renamed, used, withLabel } from "./strokes.ts";

export function PaintControls({ model }: { model: ViewerModel }) {
  const { painter } = model;
  return (
    <fieldset id="paint-controls" class="control-group">
      <legend>Strokes</legend>
      <p class="hint">{hint(model)}</p>
      <Labels model={model} />
      <Brush model={model} />
      <div class="control-row">
        <Button id="undo-stroke" disabled={!painter.canUndo.value} onClick={() => painter.undo()}>Undo</Button>
        <Button id="redo-stroke" disabled={!painter.canRedo.value} onClick={() => painter.redo()}>Redo</Button>
        <Button id="clear-strokes" disabled={painter.strokes.value.lines.length === 0 && !painter.strokes.value.voxels} onClick={() => painter.clear()}>
          Clear
        </Button>
      </div>
      <Learning model={model} />
    </fieldset>
  );
}

function hint({ painter, large, job }: ViewerModel): string {
  if (large.value !== 0) return "Strokes are painted in XY sections: make XY the large view.";
  if (!painter.isEnough.value) return "Paint a bit of the background, and a bit of each structure to be found.";
  if (job.value.engine === PIXELS) return "Paint where the mask is wrong, the background too.";
  return "A job that finds what looks like these strokes is started with them; this one stays as it is.";
}

function Labels({ model: { painter } }: { model: ViewerModel }) {
  const { strokes, label, tool } = painter;
  const { labels } = strokes.value;
  return (
    <div class="paint-labels" role="radiogroup" aria-label="Label to paint">
      {labels.map(({ name, colour }, number) => (
        <div key={number} class="paint-label" data-chosen={tool.value === "brush" && label.value === number}>
          <input
            type="radio"
            name="paint-label"
            aria-label={`Paint ${printable(name)}`}
            checked={tool.value === "brush" && label.value === number}
            onChange={() => {
              label.value = number;
              tool.value = "brush";
            }}
          />
          <Swatch colour={colour} />
          <input
            type="text"
            aria-label={`Name of label ${number}`}
            value={name}
            maxLength={NAME_LONGEST}
            onChange={(event) => painter.change(renamed(strokes.peek(), number, event.currentTarget.value))}
          />
        </div>
      ))}
      {labels.length < LABELS_MAX && (
        <Button
          id="add-label"
          onClick={() => {
            painter.change(withLabel(strokes.peek()));
            label.value = labels.length;
            tool.value = "brush";
          }}
        >
          Add label
        </Button>
      )}
    </div>
  );
}

/** Set from a script: the page takes no styles from attributes in its HTML. */
function Swatch({ colour }: { colour: string }) {
  const swatch = useRef<HTMLSpanElement>(null);
  useEffect(() => swatch.current?.style.setProperty("background", colour), [colour]);
  return <span ref={swatch} class="swatch" />;
}

function Brush({ model: { painter, grid } }: { model: ViewerModel }) {
  const { radius, tool } = painter;
  const width = 2 * radius.value + 1;
  const text = `${counted(width, "voxel")} · ${measured(width * grid.voxelSize[1])} Å`;
  return (
    <>
      <label class="control-range">
        <span>Brush</span>
        <output>{text}</output>
        <input
          id="brush-size"
          type="range"
          min={0}
          max={RADIUS_MAX}
          value={radius.value}
          aria-valuetext={text}
          onInput={(event) => (radius.value = Number(event.currentTarget.value))}
        />
      </label>
      <Button id="eraser" pressed={tool.value === "eraser"} onClick={() => (tool.value = tool.peek() === "eraser" ? "brush" : "eraser")}>
        Erase strokes
      </Button>
    </>
  );
}

function Learning({ model: { painter, job } }: { model: ViewerModel }) {
  const { live, busy, problem } = painter;
  const { engine, state } = job.value;
  const running = engine === PIXELS && !isFinal(state);
  const waiting = painter.isEnough.value && !painter.isLearned.value;
  const full = used(painter.strokes.value);
  return (
    <>
      {!painter.follows.value && (
        <Button id="segment-strokes" primary disabled={!waiting || busy.value} onClick={() => void painter.send()}>
          {running ? "Update the mask" : "Segment from strokes"}
        </Button>
      )}
      <label class="control-check">
        <input
          id="paint-live"
          type="checkbox"
          checked={live.value}
          onChange={(event) => {
            live.value = event.currentTarget.checked;
            painter.sendLater();
          }}
        />
        Update after each stroke
      </label>
      {full > 0.6 && <p class="hint">{`${Math.round(100 * full)} % of the strokes that a job can take`}</p>}
      <p id="paint-state" class="hint" role="status">{stateText(busy.value, running, waiting)}</p>
      {problem.value && <p role="alert">{printable(problem.value)}</p>}
    </>
  );
}

function stateText(busy: boolean, running: boolean, waiting: boolean): string {
  if (busy) return "Sending the strokes …";
  if (waiting) return "";
  return running ? "The mask follows these strokes." : "";
}

interface ButtonProps {
  id: string;
  disabled?: boolean;
  pressed?: boolean;
  primary?: boolean;
  onClick(): void;
  children: ComponentChildren;
}

function Button({ id, disabled = false, pressed, primary = false, onClick, children }: ButtonProps) {
  return (
    <button id={id} type="button" class={primary ? "primary" : "toggle"} disabled={disabled} aria-pressed={pressed} onClick={onClick}>
      {children}
    </button>
  );
}
