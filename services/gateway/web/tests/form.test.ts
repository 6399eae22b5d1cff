import assert from "node:assert/strict";
import { test } from "node:test";
import { type Field, type Schema, fieldsOf, withModels } from "../src/new/schema.ts";
import { changedFields, initialTexts, parse, parseVoxelSize, problemOf, rangeText } from "../src/new/values.ts";

const SCHEMA: Schema = {
  properties: {
    diameter_A: {
      type: "number",
      default: 250,
      minimum: 20,
      maximum: 2000,
      title: "Diameter",
      unit: "Å",
      description: "Outer.",
    },
    contrast: { type: "string", enum: ["dark", "bright", "auto"], default: "auto", title: "Contrast" },
    high: {
      anyOf: [{ type: "integer", minimum: 1, maximum: 255 }, { type: "null" }],
      default: null,
      title: "Threshold",
    },
    points_A: { anyOf: [{ type: "number" }, { type: "null" }], default: null, unset: "none" },
    spacing_A: { anyOf: [{ type: "number", exclusiveMinimum: 0, maximum: 10000 }, { type: "null" }], default: null },
    instances: { type: "boolean", default: false },
    mode: { $ref: "#/$defs/Mode", default: "fast" },
    note: { type: "string", default: "" },
    window: { type: "array", items: { type: "integer" }, default: [1, 2] },
    loop: { $ref: "#/properties/loop" },
    seed: { type: "integer" },
    extra: { type: "number" },
  },
  required: ["seed"],
  $defs: { Mode: { enum: ["fast", "exact"], type: "string", title: "Mode" } },
};
const FIELDS = fieldsOf(SCHEMA);
const named = (name: string): Field => FIELDS.find((field) => field.name === name)!;

test("each property becomes a control of its kind, with title, unit and bounds", () => {
  assert.deepEqual(
    FIELDS.map(({ name, kind }) => [name, kind]),
    [
      ["diameter_A", "number"],
      ["contrast", "choice"],
      ["high", "integer"],
      ["points_A", "number"],
      ["spacing_A", "number"],
      ["instances", "boolean"],
      ["mode", "choice"],
      ["note", "text"],
      ["window", "json"],
      ["loop", "json"],
      ["seed", "integer"],
      ["extra", "number"],
    ],
  );
  assert.deepEqual([named("diameter_A").title, named("diameter_A").unit], ["Diameter", "Å"]);
  assert.deepEqual([named("high").optional, named("contrast").optional], [true, false]);
  assert.equal(named("mode").title, "Mode");
  assert.deepEqual([named("high").unset, named("points_A").unset], ["automatic", "none"]);
});

test("an engine without parameters has no fields", () => {
  assert.deepEqual([fieldsOf({}), fieldsOf({ properties: [] })], [[], []]);
});

test("only what differs from the defaults is sent", () => {
  const texts = { ...initialTexts(FIELDS), seed: "4" };
  assert.deepEqual(parse(FIELDS, texts).params, { seed: 4 });
  const changed = { ...texts, diameter_A: "70", contrast: '"dark"', high: "200", instances: "true", window: "[3]" };
  assert.deepEqual(parse(FIELDS, changed).params, {
    diameter_A: 70,
    contrast: "dark",
    high: 200,
    instances: true,
    window: [3],
    seed: 4,
  });
  assert.deepEqual(
    changedFields(FIELDS, changed).map(({ name }) => name),
    ["diameter_A", "contrast", "high", "instances", "window", "seed"],
  );
});

test("given parameters fill the form, and come out as they went in", () => {
  const params = { diameter_A: 70.5, contrast: "bright", high: 12, instances: true, window: [1], seed: 1, note: "a" };
  assert.deepEqual(parse(FIELDS, initialTexts(FIELDS, params)).params, params);
});

test("what is wrong is said in the words of the field", () => {
  const cases: [string, string, string][] = [
    ["diameter_A", "10", "Must be from 20 to 2000 Å."],
    ["diameter_A", "abc", "Enter a number."],
    ["diameter_A", "2,5", "Use a point, not a comma, before the decimals."],
    ["diameter_A", "", "Enter a value."],
    ["diameter_A", "0x20", "Enter a number."],
    ["diameter_A", "1e999", "Enter a number."],
    ["high", "2.5", "Enter a whole number."],
    ["high", "700", "Must be from 1 to 255."],
    ["high", "", ""],
    ["seed", "", "Enter a value."],
    ["extra", "", ""],
    ["spacing_A", "0", "Must be above 0 and at most 10000."],
    ["window", "[1", 'This is not valid JSON, such as [1, 2] or "text".'],
    ["diameter_A", " 1 000 ", ""],
    ["diameter_A", "2.5e2", ""],
  ];
  for (const [name, entered, problem] of cases)
    assert.equal(problemOf(named(name), entered), problem, `${name} ${entered}`);
});

test("a range is given in words, without bounds that mean nothing to people", () => {
  assert.equal(rangeText({ minimum: 0, maximum: 1e12 }, "nm³"), "at least 0 nm³");
  assert.equal(rangeText({ minimum: 0, exclusiveMaximum: 1 }), "at least 0 and below 1");
  assert.equal(rangeText({}), "");
});

test("a voxel size is one number or three along z, y, x", () => {
  assert.deepEqual(parseVoxelSize(""), { value: null });
  assert.deepEqual(parseVoxelSize(" 13.68 Å"), { value: [13.68, 13.68, 13.68] });
  assert.deepEqual(parseVoxelSize("20 × 10 × 10"), { value: [20, 10, 10] });
  for (const entered of ["1 2", "0", "-3", "abc", "1 2 x3 4"]) assert.ok("problem" in parseVoxelSize(entered), entered);
});

test("a parameter that names a trained model is a choice of the models that fit", () => {
  const schema: Schema = {
    properties: {
      model: { type: "string", title: "Model", default: "", choices_from: "models" },
      start: { anyOf: [{ type: "string" }, { type: "null" }], default: null, choices_from: "models" },
      other: { type: "string", enum: ["a"], default: "a" },
    },
  };
  const fields = withModels(fieldsOf(schema), ["membranes", "spikes"]);
  const model = fields[0]!;
  assert.deepEqual(model.kind === "choice" && model.choices, ["membranes", "spikes"]);
  assert.deepEqual(fields[2]!.kind === "choice" && fields[2]!.choices, ["a"]);
  assert.equal(problemOf(fields[1]!, ""), "");
  assert.equal(problemOf(model, ""), "Choose one.");
  assert.deepEqual(parse(fields, { ...initialTexts(fields), model: '"spikes"' }).params, { model: "spikes" });
});
