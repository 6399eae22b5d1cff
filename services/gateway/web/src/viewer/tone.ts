// Densities as grey values: contrast limits and histograms. Pure.

export interface Limits {
  low: number;
  high: number;
}

/**
 * Write grey pixels (ABGR, as ImageData has them) for densities, as the server's images have them: `low` is black and
 * `high` is white. Where there is no number, the pixel stays transparent.
 */
export function toGrey(values: Float32Array, { low, high }: Limits, invert: boolean, pixels: Uint32Array): void {
  const scale = 255 / (high - low);
  const flip = invert ? 255 : 0;
  for (let n = 0; n < values.length; n++) {
    const value = values[n]!;
    if (value !== value) {
      pixels[n] = 0;
      continue;
    }
    const scaled = (value - low) * scale;
    const grey = (scaled <= 0 ? 0 : scaled >= 255 ? 255 : Math.round(scaled)) ^ flip;
    pixels[n] = 0xff000000 | (grey * 0x010101);
  }
}

export interface Histogram {
  counts: Uint32Array;
  from: number;
  to: number;
}

/** Count densities in equal intervals over a range; what is outside of it counts at its ends. */
export function histogram(values: ArrayLike<number>, from: number, to: number, bins: number): Histogram {
  const counts = new Uint32Array(bins);
  const scale = bins / (to - from);
  const every = step(values);
  for (let n = 0; n < values.length; n += every) {
    const value = values[n]!;
    if (Number.isFinite(value)) counts[Math.min(Math.max(Math.floor((value - from) * scale), 0), bins - 1)]!++;
  }
  return { counts, from, to };
}

/** Percentiles of a sample of values, as limits that use the whole range of greys; null if there is no number. */
export function autoLimits(values: ArrayLike<number>, percent = 0.5): Limits | null {
  const sample: number[] = [];
  const every = step(values);
  for (let n = 0; n < values.length; n += every) if (Number.isFinite(values[n]!)) sample.push(values[n]!);
  if (sample.length === 0) return null;
  sample.sort((one, other) => one - other);
  const at = (fraction: number) => sample[Math.min(Math.floor(fraction * sample.length), sample.length - 1)]!;
  const low = at(percent / 100);
  const high = at(1 - percent / 100);
  return low < high ? { low, high } : { low: low - 0.5, high: low + 0.5 };
}

/** Every how many values make a sample that is large enough. */
function step(values: ArrayLike<number>): number {
  return Math.max(1, Math.floor(values.length / 50_000));
}

/** Change limits by a drag of the pointer: to the right more contrast, up brighter. */
export function draggedLimits({ low, high }: Limits, dx: number, dy: number): Limits {
  const width = (high - low) * Math.exp(-dx / 200);
  const middle = (low + high) / 2 + ((high - low) * dy) / 300;
  return { low: middle - width / 2, high: middle + width / 2 };
}
