// What is entered in a form, as text, and the parameters that it means.

import { measured } from "../format/numbers.ts";
import type { Bounds, Field, Json, NumberField } from "./schema.ts";

/** The text of each field; of a choice or a checkbox its JSON, so that one form holds all kinds. */
export type Texts = Readonly<Record<string, string>>;
export type Problems = Readonly<Record<string, string>>;

export interface Parsed {
  params: { [name: string]: Json };
  problems: Problems;
}

/** The text that shows a value of a field. */
export function textOf(field: Field, value: Json | undefined): string {
  if (value === null || value === undefined) return "";
  if (field.kind === "text") return typeof value === "string" ? value : JSON.stringify(value);
  if (field.kind === "number" || field.kind === "integer")
    return typeof value === "number" ? String(value) : JSON.stringify(value);
  return JSON.stringify(value);
}

/** The texts with which a form opens: given parameters, and defaults for the others. */
export function initialTexts(fields: readonly Field[], params: { [name: string]: Json } = {}): Texts {
  return Object.fromEntries(
    fields.map((field) => [
      field.name,
      textOf(field, Object.hasOwn(params, field.name) ? params[field.name] : field.default),
    ]),
  );
}

/** The parameters that differ from the defaults, and what is wrong with the texts. */
export function parse(fields: readonly Field[], texts: Texts): Parsed {
  const params: { [name: string]: Json } = {};
  const problems: Record<string, string> = {};
  for (const field of fields) {
    const read = value(field, texts[field.name] ?? "");
    if (read === OMITTED) continue;
    if ("problem" in read) problems[field.name] = read.problem;
    else if (JSON.stringify(read.value) !== JSON.stringify(field.default)) params[field.name] = read.value;
  }
  return { params, problems };
}

/** What is wrong with the text of a field; empty if nothing is. */
export function problemOf(field: Field, entered: string): string {
  const read = value(field, entered);
  return read !== OMITTED && "problem" in read ? read.problem : "";
}

/** Which fields have another text than at the defaults. */
export function changedFields(fields: readonly Field[], texts: Texts): Field[] {
  return fields.filter((field) => (texts[field.name] ?? "").trim() !== textOf(field, field.default));
}

/** The engine decides what happens without a value. */
const OMITTED = "omitted";

type Read = { value: Json } | { problem: string } | typeof OMITTED;

function value(field: Field, entered: string): Read {
  const trimmed = entered.trim();
  if (trimmed === "" && field.kind !== "text") {
    if (field.optional) return { value: null };
    if (!field.required && field.default === null) return OMITTED;
    return { problem: field.kind === "choice" ? "Choose one." : "Enter a value." };
  }
  switch (field.kind) {
    case "number":
    case "integer":
      return numberValue(field, trimmed);
    case "text":
      return { value: entered === "" && field.optional ? null : entered };
    default:
      return jsonValue(trimmed);
  }
}

function numberValue(field: NumberField, entered: string): Read {
  const number = parseNumber(entered);
  if (number === undefined) {
    return { problem: entered.includes(",") ? "Use a point, not a comma, before the decimals." : "Enter a number." };
  }
  if (field.kind === "integer" && !Number.isSafeInteger(number)) return { problem: "Enter a whole number." };
  const problem = outside(field, number);
  return problem ? { problem } : { value: number };
}

/** A number as people type it; undefined if it is none. */
export function parseNumber(entered: string): number | undefined {
  const plain = entered
    .trim()
    .replace(/^[−–]/, "-")
    .replaceAll(/[\s\u2009\u202f\u00a0]/g, "");
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain)) return undefined;
  const found = Number(plain);
  return Number.isFinite(found) ? found : undefined;
}

function outside(field: NumberField, number: number): string {
  const range = rangeText(field, field.unit);
  const below = number < (field.minimum ?? -Infinity) || number <= (field.exclusiveMinimum ?? -Infinity);
  const above = number > (field.maximum ?? Infinity) || number >= (field.exclusiveMaximum ?? Infinity);
  return below || above ? `Must be ${range}.` : "";
}

/** The allowed range in words, such as "from 20 to 2000 Å"; empty if there is none. */
export function rangeText(bounds: Bounds, unit = ""): string {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = bounds;
  const suffix = unit ? ` ${unit}` : "";
  // A bound beyond a billion is there for the computer, not for people.
  const upper = maximum !== undefined && maximum < 1e9 ? maximum : undefined;
  if (minimum !== undefined && upper !== undefined)
    return `from ${measuredExactly(minimum)} to ${measuredExactly(upper)}${suffix}`;
  const parts: string[] = [];
  if (minimum !== undefined) parts.push(`at least ${measuredExactly(minimum)}`);
  if (exclusiveMinimum !== undefined) parts.push(`above ${measuredExactly(exclusiveMinimum)}`);
  if (maximum !== undefined && (upper !== undefined || parts.length === 0))
    parts.push(`at most ${measuredExactly(maximum)}`);
  if (exclusiveMaximum !== undefined) parts.push(`below ${measuredExactly(exclusiveMaximum)}`);
  return parts.length ? parts.join(" and ") + suffix : "";
}

function measuredExactly(bound: number): string {
  return Math.abs(bound) >= 1e6 ? measured(bound) : String(bound).replace("-", "−");
}

function jsonValue(entered: string): Read {
  try {
    return { value: JSON.parse(entered) as Json };
  } catch {
    return { problem: 'This is not valid JSON, such as [1, 2] or "text".' };
  }
}

/** A voxel size as z, y, x: one number, or three in the order z y x. */
export function parseVoxelSize(entered: string): { value: [number, number, number] | null } | { problem: string } {
  if (entered.trim() === "") return { value: null };
  const parts = entered
    .trim()
    .replace(/å/gi, "")
    .split(/[\s,;×x]+/)
    .filter(Boolean)
    .map(parseNumber);
  const numbers = parts.filter((part): part is number => part !== undefined);
  const [z, y = z, x = z] = numbers;
  if (
    numbers.length !== parts.length ||
    z === undefined ||
    y === undefined ||
    x === undefined ||
    ![1, 3].includes(parts.length)
  ) {
    return { problem: "Enter one number, or three in the order z y x." };
  }
  if (numbers.some((one) => one <= 0 || one > 1e5)) return { problem: "Must be above 0 and at most 100000 Å." };
  return { value: [z, y, x] };
}
