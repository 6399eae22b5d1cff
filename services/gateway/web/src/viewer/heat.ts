// Percentages as colours, as of matplotlib's 'inferno' without its darkest part. Pure.

import type { Rgb } from "./palette.ts";

const RAMP: readonly Rgb[] = [[87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];

/** Return the colour of a percentage. */
export function heatColour(percent: number): Rgb {
  const at = (Math.min(Math.max(percent, 0), 100) / 100) * (RAMP.length - 1);
  const first = Math.min(Math.floor(at), RAMP.length - 2);
  return [0, 1, 2].map((n) => Math.round(RAMP[first]![n]! + (at - first) * (RAMP[first + 1]![n]! - RAMP[first]![n]!))) as unknown as Rgb;
}

const COLOURS: readonly Rgb[] = Array.from({ length: 101 }, (_, percent) => heatColour(percent));

/** The same colours from left to right, for a legend. */
export const HEAT_GRADIENT = `linear-gradient(to right, ${RAMP.map((colour) => `rgb(${colour.join(" ")})`).join(", ")})`;

/**
 * Write coloured pixels (ABGR, as ImageData has them) for percentages: as opaque as they are high, so that what is
 * certain is seen through. Where there is no number, the pixel stays transparent.
 *
 * @param opacity of 100 %, 0 to 1
 */
export function toHeat(percent: Float32Array, opacity: number, pixels: Uint32Array): void {
  for (let n = 0; n < percent.length; n++) {
    const value = percent[n]!;
    if (value !== value) {
      pixels[n] = 0;
      continue;
    }
    const whole = Math.min(Math.max(Math.round(value), 0), 100);
    const [red, green, blue] = COLOURS[whole]!;
    pixels[n] = ((Math.round((255 * whole * opacity) / 100) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  }
}
