// Labels as colours over densities. Pure.

import type { Rgb } from "./palette.ts";

export type MaskStyle = "fill" | "outline" | "both";

export interface OverlayLook {
  style: MaskStyle;
  /** 0 to 1. */
  opacity: number;
  /** Colour of a label, or null if it is hidden. */
  colour(label: number): Rgb | null;
}

/** Write coloured pixels (ABGR, as ImageData has them) for labels; 0 is transparent. */
export function toColours(labels: ArrayLike<number>, width: number, height: number, look: OverlayLook, pixels: Uint32Array): void {
  const inside = look.style === "outline" ? 0 : look.style === "both" ? 0.45 * look.opacity : look.opacity;
  const fill = new Table(look, inside);
  const line = new Table(look, look.style === "fill" ? inside : look.opacity);
  const outlined = look.style !== "fill";
  for (let row = 0, n = 0; row < height; row++) {
    for (let column = 0; column < width; column++, n++) {
      const label = labels[n]!;
      if (label === 0) {
        pixels[n] = 0;
        continue;
      }
      // The border of the window is no border of the mask.
      const edge =
        outlined &&
        ((column > 0 && labels[n - 1] !== label) ||
          (column + 1 < width && labels[n + 1] !== label) ||
          (row > 0 && labels[n - width] !== label) ||
          (row + 1 < height && labels[n + width] !== label));
      pixels[n] = (edge ? line : fill).pixel(label);
    }
  }
}

/** Pixels of labels that have been asked for. */
class Table {
  private readonly pixels = new Map<number, number>();
  private last = 0;
  private lastPixel = 0;

  constructor(
    private readonly look: OverlayLook,
    private readonly opacity: number,
  ) {}

  pixel(label: number): number {
    if (label === this.last) return this.lastPixel;
    let found = this.pixels.get(label);
    if (found === undefined) {
      const colour = this.look.colour(label);
      found = colour ? packed(colour, this.opacity) : 0;
      this.pixels.set(label, found);
    }
    this.last = label;
    this.lastPixel = found;
    return found;
  }
}

function packed([red, green, blue]: Rgb, opacity: number): number {
  return ((Math.round(255 * opacity) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** The mask that a threshold makes of scores: 1 where the score is at least the threshold. */
export function thresholded(scores: Float32Array, threshold: number): Uint8Array {
  const labels = new Uint8Array(scores.length);
  for (let n = 0; n < scores.length; n++) if (scores[n]! >= threshold) labels[n] = 1;
  return labels;
}

/** The most frequent labels, without the background, with how many voxels they have. */
export function countLabels(labels: ArrayLike<number>): Map<number, number> {
  const counts = new Map<number, number>();
  for (let n = 0; n < labels.length; n++) {
    const label = labels[n]!;
    if (label) counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  return counts;
}
