// Contrast limits over the histogram of the tomogram: two handles, two fields, and back to automatic ones.

import { useMemo } from "preact/hooks";
import type { ViewerModel } from "./model.ts";
import { type Limits, histogram } from "./tone.ts";

const BINS = 64;
const STEPS = 400;

export function ContrastControl({ model }: { model: ViewerModel }) {
  const limits = model.limits.value;
  const file = model.automatic.value ?? limits;
  const range = useMemo(() => rangeAround(file, limits), [file, limits]);
  const set = (changed: Partial<Limits>) => {
    const next = { ...limits, ...changed };
    if (next.low < next.high) model.chosenLimits.value = next;
  };
  const step = (range.high - range.low) / STEPS;
  const slider = (name: keyof Limits, label: string) => (
    <input
      type="range"
      class={`contrast-${name}`}
      aria-label={label}
      min={range.low}
      max={range.high}
      step={step}
      value={limits[name]}
      onInput={(event) => set({ [name]: Number(event.currentTarget.value) })}
    />
  );
  const field = (name: keyof Limits, label: string) => (
    <label>
      <span>{label}</span>
      <input
        type="number"
        id={`limit-${name}`}
        step="any"
        value={Number(limits[name].toPrecision(4))}
        onChange={(event) => {
          const value = event.currentTarget.valueAsNumber;
          if (Number.isFinite(value)) set({ [name]: value });
        }}
      />
    </label>
  );
  return (
    <div class="contrast">
      <div class="contrast-histogram">
        <HistogramShape model={model} low={range.low} high={range.high} limits={limits} />
        {slider("low", "Density shown black")}
        {slider("high", "Density shown white")}
      </div>
      <div class="contrast-fields">
        {field("low", "Black")}
        {field("high", "White")}
        <button type="button" disabled={model.chosenLimits.value === null} onClick={() => model.automaticLimits()}>
          Auto
        </button>
      </div>
    </div>
  );
}

/** A range with room to move both limits. */
function rangeAround(file: Limits, limits: Limits): Limits {
  const room = 0.6 * (file.high - file.low);
  return { low: Math.min(file.low - room, limits.low), high: Math.max(file.high + room, limits.high) };
}

function HistogramShape({ model, low, high, limits }: { model: ViewerModel; low: number; high: number; limits: Limits }) {
  const values = model.sectionValues.value;
  const path = useMemo(() => {
    if (!values) return "";
    // The ends hold all that is outside, padding among it.
    const { counts } = histogram(values, low, high, BINS);
    const most = Math.max(...counts.subarray(1, BINS - 1), 1);
    const points = Array.from(counts, (count, n) => `${n},${40 - 38 * Math.min(count / most, 1)}`);
    return `M0,40 L${points.join(" L")} L${BINS - 1},40 Z`;
  }, [values, low, high]);
  const at = (value: number) => ((value - low) / (high - low)) * (BINS - 1);
  return (
    <svg viewBox={`0 0 ${BINS - 1} 40`} preserveAspectRatio="none" aria-hidden="true">
      <path d={path} />
      <rect x={0} width={Math.max(at(limits.low), 0)} height={40} />
      <rect x={at(limits.high)} width={Math.max(BINS - 1 - at(limits.high), 0)} height={40} />
    </svg>
  );
}
