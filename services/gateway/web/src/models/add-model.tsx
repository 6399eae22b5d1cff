import { useEffect, useRef } from "preact/hooks";
import type { TrainedModel } from "../api/types.ts";
import { printable } from "../app/text.ts";
import { bytes } from "../format/numbers.ts";
import { CAN_DROP } from "../new/add-files.ts";
import { uploadText } from "../upload/progress.tsx";
import type { Snapshot } from "../upload/upload.ts";
import {
  type AddedModel,
  MODEL_FILES,
  adding,
  chooseModel,
  discardModel,
  isAdding,
  isRefused,
  lastAdded,
  modelName,
  startAdding,
} from "./adding.ts";

/** Adds a trained model to the server, for those who may. */
export function AddModel() {
  const chosen = adding.value;
  const section = useRef<HTMLElement>(null);
  // The form goes with the model that was added, and the keyboard with it.
  useEffect(() => {
    if (lastAdded.value && document.activeElement === document.body) section.current?.querySelector("input")?.focus();
  }, [lastAdded.value]);
  return (
    <section ref={section} class="card add-model" id="add-model" aria-labelledby="add-model-title">
      <h3 id="add-model-title">Add a model</h3>
      {chosen ? <Chosen chosen={chosen} /> : <Choose />}
      <p class="secondary" id="model-added" role="status">
        {lastAdded.value && printable(addedText(lastAdded.value))}
      </p>
    </section>
  );
}

function Choose() {
  return (
    <>
      <p class="secondary">
        {`${CAN_DROP ? "Drop" : "Choose"} an archive (.zip, .tar, .tar.gz) of the folder with the weights and `}
        <code>model.toml</code>, <code>rdf.yaml</code> {"or nnU-Net\u2019s files, or a MemBrain-seg checkpoint (.ckpt)."}
      </p>
      <p>
        <FileButton words="Choose a file" />
      </p>
    </>
  );
}

function FileButton({ words }: { words: string }) {
  return (
    <label class="button file-button">
      {words}
      <input
        id="model-file"
        type="file"
        accept={MODEL_FILES}
        onChange={({ currentTarget }) => {
          const [file] = currentTarget.files ?? [];
          if (file) chooseModel(file);
          currentTarget.value = "";
        }}
      />
    </label>
  );
}

function Chosen({ chosen }: { chosen: AddedModel }) {
  const name = useRef<HTMLInputElement>(null);
  const { file, snapshot } = chosen;
  const busy = isAdding(chosen);
  const failed = snapshot?.phase === "failed";
  // The next thing to do.
  useEffect(() => name.current?.focus({ preventScroll: true }), [file]);
  return (
    <form
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (!busy && modelName.value.trim()) startAdding();
      }}
    >
      <p>
        <span class="volume-name">{printable(file.name)}</span> <span class="secondary">{bytes(file.size)}</span>
      </p>
      <label for="model-name">Name of the model</label>
      <input
        ref={name}
        id="model-name"
        type="text"
        maxLength={64}
        spellcheck={false}
        autocomplete="off"
        autocapitalize="off"
        readOnly={busy}
        value={modelName.value}
        onInput={({ currentTarget }) => (modelName.value = currentTarget.value)}
      />
      {snapshot && busy && (
        <progress
          value={snapshot.phase === "checking" ? undefined : snapshot.sentBytes / snapshot.totalBytes}
          aria-label={printable(`Upload of ${file.name}`)}
        />
      )}
      <p id="model-progress" class={failed ? "problem" : "secondary"} role="status">
        {snapshot && printable(progressText(snapshot))}
      </p>
      <p class="actions">
        {!busy && !isRefused(chosen) && (
          <button id="start-model" class="primary" disabled={modelName.value.trim() === ""}>
            {failed ? "Try again" : "Add"}
          </button>
        )}
        {!busy && <FileButton words="Choose another file" />}
        <button id="discard-model" type="button" onClick={discardModel}>
          Cancel
        </button>
      </p>
    </form>
  );
}

function addedText({ name, licence_accepted: accepted }: TrainedModel): string {
  const next = accepted ? "Jobs can use it from now on." : "Accept its licence below before the first use.";
  return `The model ${name} was added. ${next}`;
}

function progressText(snapshot: Snapshot<unknown>): string {
  const { phase, problem } = snapshot;
  // Whoever adds models can do what the server advises.
  if (phase === "failed" && problem) return `${problem.message} ${problem.hint}`.trim();
  return phase === "checking" ? "Sent. The server unpacks and checks the model." : uploadText(snapshot);
}
