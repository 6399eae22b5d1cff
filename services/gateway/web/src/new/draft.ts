// The job that is being put together. It stays while the visitor looks at other pages, and most of it while the page
// is loaded again.

import { computed, effect, signal } from "@preact/signals";
import type { EngineInfo, Json } from "../api/types.ts";
import { models, modelsFor } from "../models/list.ts";
import { PIXELS } from "../paint/strokes.ts";
import { server } from "../server/info.ts";
import { type QueuedUpload, remove as removeUpload, uploads } from "../upload/queue.ts";
import { type Field, fieldsOf, withModels } from "./schema.ts";
import type { Refusal, Source, Template } from "./request.ts";
import { type Texts, initialTexts, parse, parseVoxelSize } from "./values.ts";

/** The engine that re-thresholds a score map is offered for a finished job only. */
export const RETHRESHOLD = "rethreshold";

/** The engine of jobs that are there to paint on. */
export const TO_PAINT_ON = "threshold";

export interface Volume {
  key: number;
  label: string;
  /** What is known of it, such as its size; for people. */
  details: string;
  /** Where it is; null while it is uploaded. */
  source: Source | null;
  uploadKey: number | null;
  problem: string;
  /** Where it can be read without a job, if that is known. */
  preview?: string;
}

export type Region = { kind: "everywhere" } | { kind: "job" | "file" | "path"; value: string };

export const volumes = signal<readonly Volume[]>([]);
export const engineName = signal("");
/** By engine, so that looking at another engine loses nothing. */
export const textsByEngine = signal<Readonly<Record<string, Texts>>>({});
/** What a job was run with that is run again; the engines may be known only later. */
const given = signal<{ engine: string; params: { [name: string]: Json } } | null>(null);
export const voxelSize = signal("");
export const region = signal<Region>({ kind: "everywhere" });
export const jobName = signal("");
/** −1 low, 0 normal, 1 high; administrators may give more. */
export const priority = signal(0);
export const refused = signal<Refusal | null>(null);
/** What keeps the jobs from being submitted, in a sentence. */
export const formProblem = signal("");
/** Whether the form was submitted once: from then on what is missing is marked, too. */
export const attempted = signal(false);

export const engines = computed<readonly EngineInfo[]>(() => server.value?.engines ?? []);
/** The default first, and last what only tries out the server. */
export const offered = computed(() =>
  engines.value
    .filter((engine) => engine.name !== RETHRESHOLD || engineName.value === RETHRESHOLD)
    .sort((one, other) => rank(one) - rank(other)),
);

function rank({ default: preset, available, needs_volume: needs }: EngineInfo): number {
  return (preset ? 0 : 1) + (needs ? 0 : 2) + (available ? 0 : 4);
}

export const engine = computed<EngineInfo | null>(() => {
  const chosen = engines.value.find(({ name }) => name === engineName.value);
  return chosen ?? engines.value.find((one) => one.default && one.available) ?? null;
});
export const fields = computed<readonly Field[]>(() => {
  const chosen = engine.value;
  if (!chosen) return [];
  const names = modelsFor(chosen.name, models.value).map(({ name }) => name);
  return withModels(fieldsOf(chosen.parameters), names);
});
export const texts = computed<Texts>(() => {
  const name = engine.value?.name ?? "";
  const params = given.value?.engine === name ? given.value.params : {};
  return textsByEngine.value[name] ?? initialTexts(fields.value, params);
});
export const parsed = computed(() => parse(fields.value, texts.value));
/** Whether the engine learns from strokes that are not painted yet: a quick job shows the tomogram to paint on. */
export const paintsFirst = computed(() => engine.value?.name === PIXELS && !parsed.value.params.model);
export const parsedVoxelSize = computed(() => parseVoxelSize(voxelSize.value));

/** Whether nothing was chosen or entered yet. */
export const isPristine = computed(
  () =>
    volumes.value.length === 0 &&
    engineName.value === "" &&
    Object.keys(textsByEngine.value).length === 0 &&
    voxelSize.value + jobName.value === "" &&
    priority.value === 0 &&
    region.value.kind === "everywhere",
);

let nextKey = 1;

export function addVolume(volume: Omit<Volume, "key" | "problem">): void {
  const same = (one: Volume) => volume.source !== null && JSON.stringify(one.source) === JSON.stringify(volume.source);
  if (volumes.value.some(same)) return;
  volumes.value = [...volumes.value, { ...volume, key: nextKey++, problem: "" }];
  refused.value = null;
}

export function addUploaded(queued: QueuedUpload, details: string): void {
  addVolume({ label: queued.upload.identity.name, details, source: null, uploadKey: queued.key });
}

export function removeVolume(key: number): void {
  const found = volumes.value.find((one) => one.key === key);
  volumes.value = volumes.value.filter((one) => one.key !== key);
  if (found?.uploadKey != null && found.source === null) removeUpload(found.uploadKey);
}

export function updateVolume(key: number, changes: Partial<Volume>): void {
  volumes.value = volumes.value.map((one) => (one.key === key ? { ...one, ...changes } : one));
}

export function setText(name: string, text: string): void {
  const chosen = engine.value;
  if (!chosen) return;
  textsByEngine.value = { ...textsByEngine.value, [chosen.name]: { ...texts.value, [name]: text } };
  if (refused.value?.params[name]) {
    const { [name]: _, ...params } = refused.value.params;
    refused.value = { ...refused.value, params };
  }
}

/** Take all parameters of the chosen engine back to their defaults. */
export function resetTexts(): void {
  const { [engine.value?.name ?? ""]: _, ...others } = textsByEngine.value;
  textsByEngine.value = others;
  given.value = null;
  if (refused.value) refused.value = { ...refused.value, params: {} };
}

/** Begin anew, and stop the uploads that were for this job. */
export function startOver(): void {
  for (const { key } of volumes.value) removeVolume(key);
  clearDraft();
}

/** Begin a new job; parameters that were entered for other engines are forgotten, too. */
export function clearDraft(): void {
  volumes.value = [];
  engineName.value = "";
  textsByEngine.value = {};
  given.value = null;
  voxelSize.value = "";
  region.value = { kind: "everywhere" };
  jobName.value = "";
  priority.value = 0;
  refused.value = null;
  formProblem.value = "";
  attempted.value = false;
}

/** Fill the form with what a job was run with. */
export function fillFrom(template: Template): void {
  clearDraft();
  engineName.value = template.engine;
  given.value = { engine: template.engine, params: template.params };
  voxelSize.value = template.volume && !("job_id" in template.volume) ? template.voxelSize : "";
  jobName.value = template.name;
  priority.value = template.priority;
  if (template.volume) {
    addVolume({ label: template.volumeName, details: "", source: template.volume, uploadKey: null });
  }
  if (template.within) region.value = regionOf(template.within);
}

function regionOf(source: Source): Region {
  if ("job_id" in source) return { kind: "job", value: source.job_id };
  return "file_id" in source ? { kind: "file", value: source.file_id } : { kind: "path", value: source.path };
}

export function regionSource(chosen: Region): Source | null {
  switch (chosen.kind) {
    case "job":
      return { job_id: chosen.value };
    case "file":
      return { file_id: chosen.value };
    case "path":
      return { path: chosen.value.trim() };
    default:
      return null;
  }
}

/** An upload that is complete is a file on the server. */
effect(() => {
  for (const { key, snapshot } of uploads.value) {
    const { record } = snapshot;
    const waiting = record && volumes.peek().find((one) => one.uploadKey === key && one.source === null);
    if (waiting) updateVolume(waiting.key, { source: { file_id: record.file_id } });
  }
});

const KEY = "cryomamba.draft";

interface SavedDraft {
  volumes: Pick<Volume, "label" | "details" | "source" | "preview">[];
  engine: string;
  texts: Record<string, Texts>;
  given: { engine: string; params: { [name: string]: Json } } | null;
  voxelSize: string;
  region: Region;
  name: string;
  priority: number;
}

/** Keep the draft for as long as the tab is open; files that are not on the server yet are not in it. */
export function keepDraft(storage: Storage): void {
  restoreDraft(storage);
  effect(() => {
    const draft: SavedDraft = {
      volumes: volumes.value
        .filter(({ source }) => source !== null)
        .map(({ label, details, source, preview }) => ({ label, details, source, ...(preview && { preview }) })),
      engine: engineName.value,
      texts: textsByEngine.value,
      given: given.value,
      voxelSize: voxelSize.value,
      region: region.value,
      name: jobName.value,
      priority: priority.value,
    };
    try {
      storage.setItem(KEY, JSON.stringify(draft));
    } catch {
      // Without storage the draft lasts until the page is loaded again.
    }
  });
}

function restoreDraft(storage: Storage): void {
  try {
    const draft = JSON.parse(storage.getItem(KEY) ?? "null") as SavedDraft | null;
    if (!draft) return;
    for (const volume of draft.volumes) addVolume({ ...volume, uploadKey: null });
    engineName.value = draft.engine;
    textsByEngine.value = draft.texts;
    given.value = draft.given;
    voxelSize.value = draft.voxelSize;
    region.value = draft.region;
    jobName.value = draft.name;
    priority.value = draft.priority ?? 0;
  } catch {
    // What another version has written is no loss.
  }
}
