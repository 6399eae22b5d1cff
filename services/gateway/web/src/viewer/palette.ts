// The colours of labels, the same as in the images from the server: hues a golden ratio apart. Pure.

export type Rgb = readonly [number, number, number];

/** Return the colour of a label, counted from 1. */
export function labelColour(label: number): Rgb {
  return COLOURS[(label - 1) % COLOURS.length]!;
}

const COLOURS: readonly Rgb[] = Array.from({ length: 255 }, (_, label): Rgb => {
  const lightness = [0.55, 0.68, 0.45][label % 3]!;
  const hue = (0.08 + label * 0.618033988749895) % 1;
  const channel = (offset: number): number => {
    const sector = (offset + 12 * hue) % 12;
    const chroma = 0.85 * Math.min(lightness, 1 - lightness);
    return Math.round(255 * (lightness - chroma * Math.max(-1, Math.min(sector - 3, 9 - sector, 1))));
  };
  return [channel(0), channel(8), channel(4)];
});

/** A colour as fields for colours have it: #f08b24. */
export function toHex(colour: Rgb): string {
  return `#${colour.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

export function fromHex(text: string): Rgb {
  return [1, 3, 5].map((at) => Number.parseInt(text.slice(at, at + 2), 16)) as unknown as Rgb;
}
