import { useState } from "preact/hooks";
import { fileUrl, listFiles } from "../api/client.ts";
import { errorText } from "../api/errors.ts";
import type { FileRecord } from "../api/types.ts";
import { jobList } from "../app/store.ts";
import { printable } from "../app/text.ts";
import { bytes, day, shapeText, voxelSizeText } from "../format/numbers.ts";
import { uploads } from "../upload/queue.ts";
import { CAN_DROP, addFiles, fileProblems } from "./add-files.ts";
import { addVolume, attempted, engine, volumes } from "./draft.ts";
import { PreviewButton, SectionPreview } from "./section-preview.tsx";
import { ServerFiles } from "./server-files.tsx";
import { VolumeRow } from "./volume-row.tsx";

type Place = "none" | "server" | "files";

export function VolumePicker() {
  const [place, setPlace] = useState<Place>("none");
  const needed = engine.value?.needs_volume ?? true;
  const missing = attempted.value && needed && volumes.value.length === 0;
  return (
    <section class="step" aria-labelledby="volumes-title">
      <h3 id="volumes-title">Tomograms</h3>
      <DropZone onFiles={(files) => addFiles(files)} invalid={missing} empty={volumes.value.length === 0}>
        <button
          id="show-server"
          type="button"
          class="link"
          aria-expanded={place === "server"}
          onClick={() => setPlace(place === "server" ? "none" : "server")}
        >
          On the server
        </button>
        <button
          id="show-files"
          type="button"
          class="link"
          aria-expanded={place === "files"}
          onClick={() => setPlace(place === "files" ? "none" : "files")}
        >
          Already uploaded
        </button>
      </DropZone>
      {place === "server" && (
        <div class="path-entry">
          <ServerFiles />
          <PathEntry />
        </div>
      )}
      {place === "files" && <UploadedFiles />}
      {fileProblems.value.length > 0 && (
        <ul class="message danger" role="alert" id="file-problems">
          {fileProblems.value.map((text) => (
            <li key={text}>{printable(text)}</li>
          ))}
        </ul>
      )}
      {volumes.value.length > 0 && (
        <ul class="volumes" id="volumes">
          {volumes.value.map((volume) => (
            <VolumeRow key={volume.key} volume={volume} />
          ))}
        </ul>
      )}
      {!needed && volumes.value.length === 0 && <p class="secondary">This engine also runs without a tomogram.</p>}
    </section>
  );
}

interface DropZoneProps {
  onFiles: (files: readonly File[]) => void;
  invalid: boolean;
  empty: boolean;
  children: preact.ComponentChildren;
}

function DropZone({ onFiles, invalid, empty, children }: DropZoneProps) {
  const [over, setOver] = useState(false);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    onFiles([...(event.dataTransfer?.files ?? [])]);
  };
  return (
    <div
      class="drop-zone"
      id="drop-zone"
      data-over={over}
      data-empty={empty}
      data-invalid={invalid}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <p>{`${CAN_DROP ? "Drop" : "Add"} ${empty ? "tomograms" : "more tomograms"}${CAN_DROP ? " here" : ""}`}</p>
      <p class="choices">
        <label class="button file-button">
          Choose files
          <input
            id="files-input"
            type="file"
            multiple
            aria-invalid={invalid}
            onChange={({ currentTarget }) => {
              onFiles([...(currentTarget.files ?? [])]);
              currentTarget.value = "";
            }}
          />
        </label>
        {children}
      </p>
      <p class="secondary">MRC files (.mrc, .rec, .map, .st, .ali), also as .gz or .bz2</p>
    </div>
  );
}

function PathEntry() {
  const [path, setPath] = useState("");
  const known = [...new Set(jobList.value.map(({ volume }) => volume.path).filter((one) => one !== null))];
  const add = () => {
    const trimmed = path.trim();
    if (!trimmed) return;
    addVolume({
      label: trimmed.split(/[/\\]/).at(-1) || trimmed,
      details: trimmed,
      source: { path: trimmed },
      uploadKey: null,
    });
    setPath("");
  };
  return (
    <>
      <label for="path">Or its path</label>
      <div class="row">
        <input
          id="path"
          type="text"
          list="known-paths"
          placeholder="/data/2026-11/t1.mrc"
          spellcheck={false}
          autocomplete="off"
          autocapitalize="off"
          value={path}
          onInput={({ currentTarget }) => setPath(currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter") return;
            event.preventDefault();
            add();
          }}
        />
        <button id="add-path" type="button" onClick={add}>
          Add
        </button>
      </div>
      <datalist id="known-paths">
        {known.map((one) => (
          <option key={one} value={one} />
        ))}
      </datalist>
      <p class="secondary">Tomograms on the server are read where they are, and not copied.</p>
    </>
  );
}

function UploadedFiles() {
  const [files, setFiles] = useState<readonly FileRecord[] | null>(null);
  const [problem, setProblem] = useState("");
  const [open, setOpen] = useState("");
  if (files === null && problem === "") {
    setProblem("Loading …");
    listFiles()
      .then((found) => {
        setFiles(found);
        setProblem("");
      })
      .catch((error: unknown) => setProblem(errorText(error)));
  }
  const chosen = (file: FileRecord) =>
    volumes.value.some(({ source }) => source !== null && "file_id" in source && source.file_id === file.file_id);
  const finished = new Set(uploads.value.map(({ snapshot }) => snapshot.record?.file_id));
  return (
    <div class="uploaded" id="uploaded">
      {problem && <p class="secondary">{printable(problem)}</p>}
      {files?.length === 0 && <p class="secondary">No file was uploaded yet.</p>}
      <ul>
        {files?.map((file) => (
          <li key={file.file_id} data-new={finished.has(file.file_id)}>
            <div class="previewed">
              <button
                type="button"
                class="entry"
                disabled={chosen(file)}
                onClick={() =>
                  addVolume({
                    label: file.filename,
                    details: fileDetails(file),
                    source: { file_id: file.file_id },
                    uploadKey: null,
                  })
                }
              >
                <span>{printable(file.filename)}</span>
                <span class="secondary">{fileDetails(file)}</span>
              </button>
              <PreviewButton
                name={file.filename}
                open={open === file.file_id}
                onToggle={() => setOpen(open === file.file_id ? "" : file.file_id)}
              />
            </div>
            {open === file.file_id && (
              <SectionPreview name={file.filename} url={`${fileUrl(file.file_id)}/slice`} depth={file.metadata.shape[0]} />
            )}
          </li>
        ))}
      </ul>
    </div>
  );
}

function fileDetails({ metadata, size_bytes: size, created_at: at }: FileRecord): string {
  const voxels = `${shapeText(metadata.shape)} voxels of ${voxelSizeText(metadata.voxel_size_A)}`;
  return `${voxels} · ${bytes(size)} · ${day(new Date(at), new Date())}`;
}
