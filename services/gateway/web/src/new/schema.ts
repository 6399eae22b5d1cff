// The fields of a form, from the JSON schema of an engine's parameters.

import type { Json } from "../api/types.ts";

export type { Json };
export type Schema = { [name: string]: Json };

export interface Bounds {
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
}

interface Described {
  name: string;
  title: string;
  description: string;
  unit: string;
  /** What is used where nothing is entered. */
  unset: string;
  default: Json;
  /** Whether the choices are the trained models that fit the engine. */
  fromModels: boolean;
  optional: boolean;
  required: boolean;
}

export interface NumberField extends Described, Bounds {
  kind: "number" | "integer";
}

export interface ChoiceField extends Described {
  kind: "choice";
  choices: Json[];
}

export interface OtherField extends Described {
  kind: "boolean" | "text" | "json";
}

export type Field = NumberField | ChoiceField | OtherField;

/** The fields with the names of trained models as choices, where a field takes one. */
export function withModels(fields: readonly Field[], names: readonly string[]): Field[] {
  return fields.map((field) => (field.kind === "choice" && field.fromModels ? { ...field, choices: [...names] } : field));
}

/** The fields in the schema's order; what no control exists for is edited as JSON, and what is hidden is left out. */
export function fieldsOf(schema: Schema): Field[] {
  const properties = isObject(schema.properties) ? schema.properties : {};
  const required = Array.isArray(schema.required) ? schema.required : [];
  return Object.entries(properties)
    .filter(([, property]) => !isObject(property) || property.hidden !== true)
    .map(([name, property]) => field(name, isObject(property) ? property : {}, schema, required.includes(name)));
}

/** Schemas refer only to themselves, and only a few levels deep; a circle ends as a field edited as JSON. */
const DEPTH_MAX = 8;

function field(name: string, property: Schema, root: Schema, required: boolean): Field {
  const { schema, optional } = resolved(property, root);
  const described: Described = {
    name,
    title: text(property.title) || text(schema.title) || name.replaceAll("_", " "),
    description: text(property.description) || text(schema.description),
    unit: text(property.unit) || text(schema.unit),
    unset: text(property.unset) || text(schema.unset) || "automatic",
    default: property.default ?? schema.default ?? null,
    fromModels: property.choices_from === "models",
    optional,
    required,
  };
  // An empty name stands for none: where the engine needs a model, one must be chosen.
  if (described.fromModels) return { ...described, kind: "choice", choices: [], default: null, required: !optional };
  if (Array.isArray(schema.enum))
    return { ...described, kind: "choice", choices: schema.enum.filter((one) => one !== null) };
  switch (schema.type) {
    case "number":
    case "integer":
      return { ...described, kind: schema.type, ...bounds(schema) };
    case "boolean":
      return { ...described, kind: "boolean" };
    case "string":
      return { ...described, kind: "text" };
    default:
      return { ...described, kind: "json" };
  }
}

function resolved(property: Schema, root: Schema, depth = 0): { schema: Schema; optional: boolean } {
  if (depth > DEPTH_MAX) return { schema: {}, optional: false };
  if (typeof property.$ref === "string") return resolved(referred(property.$ref, root), root, depth + 1);
  const single = Array.isArray(property.allOf) && property.allOf.length === 1 ? property.allOf[0] : undefined;
  if (isObject(single)) return resolved(single, root, depth + 1);
  const alternatives = property.anyOf ?? property.oneOf;
  if (!Array.isArray(alternatives)) {
    if ("const" in property) return { schema: { ...property, enum: [property.const ?? null] }, optional: false };
    return { schema: property, optional: false };
  }
  const others = alternatives.filter(isObject).filter((one) => one.type !== "null");
  const optional = others.length < alternatives.length;
  const [only] = others;
  if (others.length !== 1 || only === undefined) return { schema: {}, optional };
  return { schema: resolved(only, root, depth + 1).schema, optional };
}

function referred(pointer: string, root: Schema): Schema {
  let found: Json = root;
  for (const part of pointer.replace(/^#\/?/, "").split("/")) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    found = isObject(found) && Object.hasOwn(found, key) ? (found[key] ?? null) : null;
  }
  return isObject(found) ? found : {};
}

function bounds(schema: Schema): Bounds {
  const found: Bounds = {};
  for (const name of ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"] as const) {
    const value = schema[name];
    if (typeof value === "number") found[name] = value;
  }
  return found;
}

function text(value: Json | undefined): string {
  return typeof value === "string" ? value : "";
}

export function isObject(value: Json | undefined): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
