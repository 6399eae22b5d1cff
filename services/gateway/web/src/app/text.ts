// Texts of other people as this page shows them. Pure.

// Control characters, and marks that reverse a line or have no width, are shown by their number.
const UNSAFE =
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

const UNITS: Record<string, string> = { deg: "°", A: "Å", nm: "nm", nm3: "nm³" };

/** Return a text without characters that could mislead its reader. */
export function printable(text: unknown): string {
  return String(text).replace(UNSAFE, (found) => `\\u{${found.codePointAt(0)!.toString(16)}}`);
}

/** Return the title and the text of an engine's estimate; the last part of a name is its unit, as in tilt_range_deg. */
export function estimateTexts(name: string, value: number | string): [string, string] {
  const words = name.split("_");
  const unit = words.length > 1 ? UNITS[words.at(-1)!] : undefined;
  const title = (unit ? words.slice(0, -1) : words).join(" ");
  const sign = name === "tilt_range_deg" ? "±" : "";
  const text = typeof value === "number" ? `${sign}${Number(value.toPrecision(3))}` : value;
  return [`${title.charAt(0).toUpperCase()}${title.slice(1)}`, unit ? `${text}${unit === "°" ? "" : " "}${unit}` : text];
}
