import { useState } from "preact/hooks";
import { listFiles } from "../api/client.ts";
import type { FileRecord } from "../api/types.ts";
import { printable } from "../app/text.ts";
import {
  type Region,
  attempted,
  engine,
  jobName,
  parsedVoxelSize,
  priority,
  refused,
  region,
  volumes,
  voxelSize,
} from "./draft.ts";
import { MaskJobChoice } from "./mask-job-choice.tsx";
import { NAME_MAX } from "./request.ts";

/** What every engine has: voxel size, region, name and priority. */
export function Options() {
  const rethreshold = volumes.value.some(({ source }) => source !== null && "job_id" in source);
  const reads = (engine.value?.needs_volume !== false || volumes.value.length > 0) && !rethreshold;
  return (
    <section class="step" aria-labelledby="options-title">
      <h3 id="options-title">Options</h3>
      <div class="fields">
        {reads && <VoxelSize />}
        {reads && <Within />}
        <Name />
        <PriorityChoice />
      </div>
    </section>
  );
}

function VoxelSize() {
  const parsed = parsedVoxelSize.value;
  const problem = "problem" in parsed ? parsed.problem : (refused.value?.voxelSize ?? "");
  return (
    <div class="field">
      <label for="voxel-size">Voxel size</label>
      <div class="row">
        <input
          id="voxel-size"
          type="text"
          inputMode="decimal"
          autocomplete="off"
          placeholder="From the file"
          value={voxelSize.value}
          aria-describedby="voxel-size-help"
          aria-invalid={problem !== ""}
          onInput={({ currentTarget }) => {
            voxelSize.value = currentTarget.value;
          }}
        />
        <span class="unit">Å</span>
      </div>
      {problem && <p class="problem">{printable(problem)}</p>}
      <p class="secondary help" id="voxel-size-help">
        Only if the file has none or a wrong one. One number, or three in the order z y x.
      </p>
    </div>
  );
}

function Name() {
  const several = volumes.value.length > 1;
  return (
    <div class="field">
      <label for="job-label">{several ? "Name of the jobs" : "Name"}</label>
      <input
        id="job-label"
        type="text"
        autocomplete="off"
        maxLength={NAME_MAX}
        placeholder={volumes.value[0]?.label ?? ""}
        value={jobName.value}
        aria-describedby="job-label-help"
        onInput={({ currentTarget }) => {
          jobName.value = currentTarget.value;
        }}
      />
      {refused.value?.name && <p class="problem">{printable(refused.value.name)}</p>}
      <p class="secondary help" id="job-label-help">
        {several ? "The name of each file is added." : "For you and others to find it by. The file’s name if left out."}
      </p>
    </div>
  );
}

function PriorityChoice() {
  return (
    <div class="field">
      <label for="priority">Priority</label>
      <select
        id="priority"
        value={String(priority.value)}
        aria-describedby="priority-help"
        onChange={({ currentTarget }) => {
          priority.value = Number(currentTarget.value);
        }}
      >
        <option value="1">High</option>
        <option value="0">Normal</option>
        <option value="-1">Low</option>
        {Math.abs(priority.value) > 1 && <option value={String(priority.value)}>{priority.value}</option>}
      </select>
      <p class="secondary help" id="priority-help">
        The order among your own jobs. A step counts as much as a day of waiting.
      </p>
    </div>
  );
}

function Within() {
  const chosen = region.value;
  const empty = chosen.kind !== "everywhere" && chosen.value.trim() === "";
  const problem = attempted.value && empty ? "Choose the mask." : (refused.value?.within ?? "");
  const set = (changed: Region) => {
    region.value = changed;
    if (refused.value) refused.value = { ...refused.value, within: "" };
  };
  return (
    <div class="field">
      <label for="within">Search within</label>
      <select
        id="within"
        value={chosen.kind}
        aria-describedby="within-help"
        onChange={({ currentTarget }) => {
          const kind = currentTarget.value as Region["kind"];
          set(kind === "everywhere" ? { kind } : { kind, value: "" });
        }}
      >
        <option value="everywhere">The whole tomogram</option>
        <option value="job">The mask of a job</option>
        <option value="file">An uploaded mask</option>
        <option value="path">A mask on the server</option>
      </select>
      {chosen.kind === "job" && (
        <MaskJobChoice value={chosen.value} invalid={problem !== ""} onValue={(value) => set({ kind: "job", value })} />
      )}
      {chosen.kind === "file" && (
        <FileChoice value={chosen.value} invalid={problem !== ""} onValue={(value) => set({ kind: "file", value })} />
      )}
      {chosen.kind === "path" && (
        <input
          type="text"
          aria-label="Path of the mask"
          placeholder="/data/2026-11/t1_lamella.mrc"
          spellcheck={false}
          autocomplete="off"
          value={chosen.value}
          aria-invalid={problem !== ""}
          onInput={({ currentTarget }) => set({ kind: "path", value: currentTarget.value })}
        />
      )}
      {problem && <p class="problem">{printable(problem)}</p>}
      <p class="secondary help" id="within-help">
        A mask of the same shape, such as that of a lamella. Only where it is not 0 is anything searched and measured.
      </p>
    </div>
  );
}

interface ChoiceProps {
  value: string;
  invalid: boolean;
  onValue: (value: string) => void;
}

function FileChoice({ value, invalid, onValue }: ChoiceProps) {
  const [files, setFiles] = useState<readonly FileRecord[] | null>(null);
  if (files === null) {
    setFiles([]);
    // Without the list there is nothing to choose, which the control shows.
    listFiles().then(setFiles, () => undefined);
  }
  const known = files?.some(({ file_id: id }) => id === value);
  return (
    <select
      aria-label="Uploaded mask"
      value={value}
      aria-invalid={invalid}
      onChange={({ currentTarget }) => onValue(currentTarget.value)}
    >
      <option value="">{files?.length ? "Choose a file" : "No file was uploaded yet"}</option>
      {value && !known && <option value={value}>{printable(value)}</option>}
      {files?.map(({ file_id: id, filename }) => (
        <option key={id} value={id}>
          {printable(filename)}
        </option>
      ))}
    </select>
  );
}
