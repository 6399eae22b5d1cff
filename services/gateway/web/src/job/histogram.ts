// The geometry of a histogram: bins, bars and the ticks of its axes. Pure; the component draws it.

import { count } from "../format/numbers.ts";

export interface Bin {
  start: number;
  end: number;
  count: number;
}

export interface Tick {
  /** Position along the axis, 0 to 1. */
  at: number;
  text: string;
}

export interface Bar {
  /** 0 to 1 along the horizontal axis. */
  left: number;
  width: number;
  /** 0 to 1 of the vertical axis. */
  height: number;
  bin: Bin;
}

export interface Histogram {
  bars: Bar[];
  xTicks: Tick[];
  yTicks: Tick[];
}

const BINS_MIN = 6;
const BINS_MAX = 24;
/** Ratio from which a logarithmic axis shows more than a linear one. */
const LOG_RATIO = 30;
const TICKS = 5;
const MINUS = "−";

/** A histogram of positive values, on a logarithmic axis where they spread far; null without values. */
export function histogram(values: readonly number[]): Histogram | null {
  const sorted = values.filter((value) => Number.isFinite(value) && value > 0).sort((one, other) => one - other);
  const low = sorted[0];
  const high = sorted.at(-1);
  if (low === undefined || high === undefined) return null;
  const scale = high / low >= LOG_RATIO ? logScale(low, high) : linearScale(low, high);
  const bins = binned(sorted, scale, binCount(sorted.length));
  const most = Math.max(...bins.map((bin) => bin.count));
  const top = niceTop(most);
  return {
    bars: bins.map((bin) => {
      const left = scale.position(bin.start);
      return { left, width: scale.position(bin.end) - left, height: bin.count / top, bin };
    }),
    xTicks: scale.ticks,
    yTicks: countTicks(top),
  };
}

interface Scale {
  low: number;
  high: number;
  position(value: number): number;
  value(position: number): number;
  ticks: Tick[];
}

function linearScale(low: number, high: number): Scale {
  const spread = high - low || Math.abs(high) * 0.5 || 1;
  const step = niceStep(spread / TICKS);
  const start = Math.floor((low - 0.02 * spread) / step) * step;
  const end = Math.ceil((high + 0.02 * spread) / step) * step;
  const position = (value: number) => (value - start) / (end - start);
  const steps = Math.round((end - start) / step);
  const every = Math.ceil(steps / TICKS);
  const ticks = Array.from({ length: steps + 1 }, (_, n) => start + n * step)
    .filter((_, n) => n % every === 0)
    .map((value) => ({ at: position(value), text: tickText(value, step) }));
  return { low: start, high: end, position, value: (at) => start + at * (end - start), ticks };
}

function logScale(low: number, high: number): Scale {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high)) === first ? first + 1 : Math.ceil(Math.log10(high));
  const position = (value: number) => (Math.log10(value) - first) / (last - first);
  const decades = Array.from({ length: last - first + 1 }, (_, n) => first + n);
  const every = Math.ceil(decades.length / (TICKS + 1));
  const ticks = decades
    .filter((_, n) => n % every === 0)
    .map((exponent) => ({ at: (exponent - first) / (last - first), text: powerText(exponent) }));
  return { low: 10 ** first, high: 10 ** last, position, value: (at) => 10 ** (first + at * (last - first)), ticks };
}

function binned(sorted: readonly number[], scale: Scale, bins: number): Bin[] {
  const edges = Array.from({ length: bins + 1 }, (_, n) => scale.value(n / bins));
  const found: Bin[] = edges.slice(0, -1).map((start, n) => ({ start, end: edges[n + 1]!, count: 0 }));
  for (const value of sorted) {
    const index = Math.min(bins - 1, Math.max(0, Math.floor(scale.position(value) * bins)));
    found[index]!.count += 1;
  }
  return found;
}

function binCount(values: number): number {
  return Math.min(BINS_MAX, Math.max(BINS_MIN, Math.ceil(2 * Math.cbrt(values)) * 2));
}

/** The step of 1, 2 or 5 times a power of ten at or above a length. */
function niceStep(length: number): number {
  const power = 10 ** Math.floor(Math.log10(length));
  const factor = [1, 2, 5, 10].find((one) => one * power >= length * 0.999) ?? 10;
  return factor * power;
}

function niceTop(most: number): number {
  const step = Math.max(1, niceStep(most / 4));
  return Math.ceil(most / step) * step;
}

function countTicks(top: number): Tick[] {
  const step = Math.max(1, niceStep(top / 4));
  return Array.from({ length: Math.floor(top / step + 1e-9) + 1 }, (_, n) => ({
    at: (n * step) / top,
    text: count(n * step),
  }));
}

function tickText(value: number, step: number): string {
  if (step >= 1 && value >= 1000) return count(value);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return value
    .toFixed(digits)
    .replace("-", MINUS)
    .replace(/^−0(\.0*)?$/, "0");
}

const RAISED: Readonly<Record<string, string>> = Object.fromEntries(
  [..."0123456789"].map((digit, n) => [digit, "⁰¹²³⁴⁵⁶⁷⁸⁹"[n]!]),
);

function powerText(exponent: number): string {
  if (exponent >= -1 && exponent <= 3) return String(10 ** exponent);
  return `10${exponent < 0 ? "⁻" : ""}${[...String(Math.abs(exponent))].map((digit) => RAISED[digit]).join("")}`;
}

/** The middle value; null without values. */
export function median(values: readonly number[]): number | null {
  const sorted = [...values].sort((one, other) => one - other);
  const half = Math.floor(sorted.length / 2);
  const upper = sorted[half];
  if (upper === undefined) return null;
  return sorted.length % 2 ? upper : (upper + sorted[half - 1]!) / 2;
}
