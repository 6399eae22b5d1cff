// How the tomogram and its mask are shown.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { thresholdJob } from "../api/client.ts";
import { errorText } from "../api/errors.ts";
import { jobHref } from "../app/route.ts";
import { printable } from "../app/text.ts";
import { measured } from "../format/numbers.ts";
import { minimumVolume } from "../job/settings.tsx";
import { jobTitle } from "../jobs/filters.ts";
import { ContrastControl } from "./contrast.tsx";
import { PaintControls } from "../paint/controls.tsx";
import { HEAT_GRADIENT } from "./heat.ts";
import { LabelList } from "./labels.tsx";
import { NOTHING, PREVIEW } from "./layers.ts";
import type { ViewerModel } from "./model.ts";
import type { MaskStyle } from "./overlay.ts";
import { countText } from "./picks.ts";
import { layerName } from "./status.ts";

/** Characters that the server takes in the name of a job. */
const NAME_LONGEST = 200;

const STYLES: readonly [MaskStyle, string][] = [["both", "Fill and outline"], ["fill", "Fill"], ["outline", "Outline"]];

export function Controls({ model }: { model: ViewerModel }) {
  return (
    <div class="viewer-controls">
      {model.painter.on.value && <PaintControls model={model} />}
      {model.tomogram.value && <ImageControls model={model} />}
      <MaskControls model={model} />
      {model.scores.value && <ThresholdControls model={model} />}
      {model.uncertainty.value && <UncertaintyControls model={model} />}
      {model.picks.value && <PickControls model={model} />}
      <Keys painting={model.painter.on.value} />
    </div>
  );
}

function Group({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <fieldset class="control-group">
      <legend>{title}</legend>
      {children}
    </fieldset>
  );
}

interface RangeProps {
  id: string;
  label: string;
  value: number;
  min: number;
  max: number;
  step: number;
  text: string;
  onChange(value: number): void;
}

function Range({ id, label, value, min, max, step, text, onChange }: RangeProps) {
  return (
    <label class="control-range">
      <span>{label}</span>
      <output>{text}</output>
      <input
        id={id}
        type="range"
        min={min}
        max={max}
        step={step}
        value={value}
        aria-valuetext={text}
        onInput={(event) => onChange(Number(event.currentTarget.value))}
      />
    </label>
  );
}

function ImageControls({ model }: { model: ViewerModel }) {
  const { slab, sigma, invert, smoothPixels, grid } = model;
  return (
    <Group title="Tomogram">
      <ContrastControl model={model} />
      <Range
        id="slab"
        label="Averaged sections"
        value={slab.value}
        min={1}
        max={Math.min(31, Math.max(...grid.shape))}
        step={2}
        text={slab.value === 1 ? "1" : `${slab.value} · ${measured(slab.value * grid.voxelSize[0])} Å`}
        onChange={(value) => (slab.value = value)}
      />
      <Range
        id="low-pass"
        label="Low-pass filter"
        value={sigma.value}
        min={0}
        max={5}
        step={0.25}
        text={sigma.value === 0 ? "off" : `σ ${measured(sigma.value * Math.min(...grid.voxelSize))} Å`}
        onChange={(value) => (sigma.value = value)}
      />
      <div class="control-row">
        <Check id="invert" label="Invert" value={invert.value} onChange={(value) => (invert.value = value)} />
        <Check id="interpolate" label="Interpolate" value={smoothPixels.value} onChange={(value) => (smoothPixels.value = value)} />
      </div>
    </Group>
  );
}

interface CheckProps {
  id: string;
  label: string;
  value: boolean;
  onChange(value: boolean): void;
}

function Check({ id, label, value, onChange }: CheckProps) {
  return (
    <label class="control-check">
      <input id={id} type="checkbox" checked={value} onChange={(event) => onChange(event.currentTarget.checked)} />
      {label}
    </label>
  );
}

function MaskControls({ model }: { model: ViewerModel }) {
  const { opacity, style, chosenLayer } = model;
  const files = model.masks.value.map(({ path }) => path);
  const layers = [...files, ...(model.frame.value && files.length === 0 ? [PREVIEW] : [])];
  if (layers.length === 0 && !model.scores.value) return null;
  return (
    <Group title="Mask">
      <label class="control-select">
        <span>Shown</span>
        <select id="layer" value={model.layer.value} onChange={(event) => (chosenLayer.value = event.currentTarget.value)}>
          {layers.map((path) => <option key={path} value={path}>{printable(layerName(path, model.job.value.state))}</option>)}
          <option value={NOTHING}>None</option>
        </select>
      </label>
      <label class="control-select">
        <span>Drawn as</span>
        <select id="mask-style" value={style.value} onChange={(event) => (style.value = event.currentTarget.value as MaskStyle)}>
          {STYLES.map(([value, name]) => <option key={value} value={value}>{name}</option>)}
        </select>
      </label>
      <Range
        id="mask-opacity"
        label="Opacity"
        value={opacity.value}
        min={0}
        max={1}
        step={0.05}
        text={`${Math.round(100 * opacity.value)} %`}
        onChange={(value) => (opacity.value = value)}
      />
      <LabelList model={model} />
    </Group>
  );
}

function ThresholdControls({ model }: { model: ViewerModel }) {
  const { threshold } = model;
  const [message, setMessage] = useState("");
  const [busy, setBusy] = useState(false);
  const estimate = Number(model.job.value.estimates.threshold);
  const job = model.job.value;
  const leastVolume = minimumVolume(job);
  const keep = async () => {
    setBusy(true);
    try {
      const made = await thresholdJob(job.job_id, { high: threshold.value!, min_volume_nm3: leastVolume, name: jobTitle(job).slice(0, NAME_LONGEST) });
      location.hash = jobHref(made.job_id);
    } catch (error) {
      setMessage(errorText(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Group title="Threshold">
      <Check
        id="try-threshold"
        label="Try another threshold"
        value={threshold.value !== null}
        onChange={(on) => (threshold.value = on ? Math.round(estimate) || 128 : null)}
      />
      {threshold.value !== null && (
        <>
          <Range
            id="threshold"
            label="Score of at least"
            value={threshold.value}
            min={1}
            max={255}
            step={1}
            text={String(threshold.value)}
            onChange={(value) => (threshold.value = value)}
          />
          <p class="hint">
            Shows all voxels whose score reaches the threshold. The job's own mask may also keep weaker voxels that are
            connected to strong ones.
            {leastVolume > 0 && ` A job with it also removes components below ${measured(leastVolume)} nm³, as this job did.`}
          </p>
          <button type="button" disabled={busy || job.state !== "completed"} onClick={() => void keep()}>
            Make a job with this threshold
          </button>
        </>
      )}
      {message && <p role="alert">{printable(message)}</p>}
    </Group>
  );
}

function UncertaintyControls({ model }: { model: ViewerModel }) {
  const { showUncertainty, uncertaintyOpacity } = model;
  return (
    <Group title="Uncertainty">
      <Check
        id="show-uncertainty"
        label="Show uncertainty"
        value={showUncertainty.value}
        onChange={(on) => (showUncertainty.value = on)}
      />
      {showUncertainty.value && (
        <>
          <div class="heat-legend">
            <span>0 %, certain</span>
            <div role="presentation" style={{ background: HEAT_GRADIENT }} />
            <span>100 %</span>
          </div>
          <Range
            id="uncertainty-opacity"
            label="Opacity"
            value={uncertaintyOpacity.value}
            min={0.1}
            max={1}
            step={0.05}
            text={`${Math.round(100 * uncertaintyOpacity.value)} %`}
            onChange={(value) => (uncertaintyOpacity.value = value)}
          />
          <p class="hint">
            Predictive entropy of the label of a voxel. Certain voxels are transparent.
          </p>
        </>
      )}
    </Group>
  );
}

function PickControls({ model }: { model: ViewerModel }) {
  const { showPicks, pickRadius, grid } = model;
  const picks = model.picks.value!;
  const most = 30 * Math.max(...grid.voxelSize);
  return (
    <Group title="Picks">
      <p id="pick-count">{countText(picks)}</p>
      <Check id="show-picks" label="Show" value={showPicks.value} onChange={(value) => (showPicks.value = value)} />
      <Range
        id="pick-radius"
        label={picks.kind === "particles" ? "Radius" : "Distance from the section"}
        value={pickRadius.value}
        min={Math.min(...grid.voxelSize)}
        max={Math.max(most, pickRadius.value)}
        step={Math.min(...grid.voxelSize) / 2}
        text={`${measured(pickRadius.value)} Å`}
        onChange={(value) => (pickRadius.value = value)}
      />
    </Group>
  );
}

const KEYS: readonly [string, string][] = [
  ["Drag", "move the section"],
  ["Wheel, pinch, + −", "zoom"],
  ["Click, arrow keys", "move the crosshair"],
  ["Shift + wheel, Page Up, Page Down", "next section"],
  ["Shift + drag, right drag", "contrast"],
  ["0", "whole section"],
  ["1", "one voxel per pixel"],
  ["I, C, M", "invert, crosshair, mask"],
  ["F, Esc", "full window and back"],
];

const PAINT_KEYS: readonly [string, string][] = [
  ["Drag", "paint"],
  ["Alt + drag, middle drag, two fingers", "move the section"],
  ["P", "paint a dot at the crosshair"],
  ["[ ]", "smaller or larger brush"],
  ["X", "eraser and back"],
  ["Ctrl + Z, Ctrl + Shift + Z", "undo, redo"],
];

function Keys({ painting }: { painting: boolean }) {
  const keys = painting ? [...PAINT_KEYS, ...KEYS.filter(([key]) => !/^(Drag|Click)/.test(key)), ["B", "end painting"] as const] : KEYS;
  return (
    <details class="viewer-keys">
      <summary>Keys and pointer</summary>
      <dl>{keys.map(([key, action]) => <div key={key}><dt>{key}</dt><dd>{action}</dd></div>)}</dl>
    </details>
  );
}
