// Tomograms that are already on the server: the folders that its operator has allowed, to be ticked.

import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { listInputs } from "../api/client.ts";
import { errorText } from "../api/errors.ts";
import type { InputEntry, InputPage } from "../api/types.ts";
import { printable } from "../app/text.ts";
import { bytes, day, shapeText, voxelSizeText } from "../format/numbers.ts";
import { addVolume, removeVolume, volumes } from "./draft.ts";
import { PreviewButton, SectionPreview } from "./section-preview.tsx";

/** The folder that was open last; empty for the list of all that are allowed. */
const folder = signal("");

export function ServerFiles() {
  const { page, problem, isLoading, open, more } = useFolder();
  const list = useRef<HTMLUListElement>(null);
  const browse = (path: string) => {
    open(path);
    // The button that was pressed goes with its folder.
    list.current?.focus({ preventScroll: true });
  };
  const tomograms = (page?.entries ?? []).filter(({ kind, problem: why }) => kind === "tomogram" && why === null);
  const unticked = tomograms.filter(({ path }) => keyOf(path) === null);
  return (
    <div class="browser" id="server-files">
      {page && (
        <div class="browser-head">
          {page.parent !== null && (
            <button id="folder-up" type="button" onClick={() => browse(page.parent!)}>
              ‹ Up
            </button>
          )}
          <span class="browser-path">{page.path ? printable(page.path) : "Folders on the server"}</span>
          {unticked.length > 1 && (
            <button id="tick-all" type="button" class="quiet" onClick={() => unticked.forEach(add)}>
              Select all {unticked.length}
            </button>
          )}
        </div>
      )}
      <ul ref={list} tabIndex={-1} aria-label="Folders and tomograms on the server" aria-busy={isLoading}>
        {page?.entries.map((entry) => (
          <li key={entry.path}>
            {entry.kind === "folder" ? <Folder entry={entry} onOpen={browse} /> : <Tomogram entry={entry} />}
          </li>
        ))}
      </ul>
      {page && !isLoading && page.entries.length === 0 && <p class="secondary">{emptyText(page)}</p>}
      {problem && <p class="problem">{printable(problem)}</p>}
      {isLoading && <p class="secondary">Loading …</p>}
      {page?.cursor && !isLoading && (
        <button id="more-entries" type="button" onClick={more}>
          Show more
        </button>
      )}
    </div>
  );
}

function emptyText({ path }: InputPage): string {
  return path ? "There is no tomogram in this folder." : "This server has no folders to choose from. Upload the tomogram instead.";
}

function Folder({ entry, onOpen }: { entry: InputEntry; onOpen: (path: string) => void }) {
  return (
    <button type="button" class="entry folder" onClick={() => onOpen(entry.path)}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <path d="M1 3h5l1.5 2H15v8.5H1z" />
      </svg>
      <span>{printable(entry.name)}</span>
    </button>
  );
}

function Tomogram({ entry }: { entry: InputEntry }) {
  const key = keyOf(entry.path);
  const [open, setOpen] = useState(false);
  const preview = entry.problem === null ? inputUrl(entry) : null;
  return (
    <>
      <div class="previewed">
        <TomogramChoice entry={entry} chosen={key} />
        {preview && entry.shape && <PreviewButton name={entry.name} open={open} onToggle={() => setOpen(!open)} />}
      </div>
      {open && preview && entry.shape && (
        <SectionPreview name={entry.name} url={`${preview}/slice`} depth={entry.shape[0]} />
      )}
    </>
  );
}

function TomogramChoice({ entry, chosen: key }: { entry: InputEntry; chosen: number | null }) {
  return (
    <label class="entry">
      <input
        type="checkbox"
        checked={key !== null}
        disabled={entry.problem !== null}
        onChange={() => (key === null ? add(entry) : removeVolume(key))}
      />
      <span>{printable(entry.name)}</span>
      <span class="secondary">{printable(entry.problem ?? detailsOf(entry))}</span>
    </label>
  );
}

/** The key of the tomogram with a path in the draft; null if it is not in it. */
function keyOf(path: string): number | null {
  const found = volumes.value.find(({ source }) => source !== null && "path" in source && source.path === path);
  return found?.key ?? null;
}

function add(entry: InputEntry): void {
  const preview = inputUrl(entry);
  addVolume({
    label: entry.name,
    details: detailsOf(entry),
    source: { path: entry.path },
    uploadKey: null,
    ...(preview && { preview }),
  });
}

/** Where a tomogram can be read without a job. */
function inputUrl({ input_id: id }: InputEntry): string | null {
  return id && `/v1/inputs/${encodeURIComponent(id)}`;
}

function detailsOf({ shape, voxel_size_A: voxelSize, size_bytes: size, modified_at: at }: InputEntry): string {
  return [
    shape && voxelSize && `${shapeText(shape)} voxels of ${voxelSizeText(voxelSize)}`,
    size !== null && bytes(size),
    at && day(new Date(at), new Date()),
  ]
    .filter(Boolean)
    .join(" · ");
}

function useFolder() {
  const [page, setPage] = useState<InputPage | null>(null);
  const [problem, setProblem] = useState("");
  const [isLoading, setLoading] = useState(false);
  const stop = useRef(new AbortController());
  const load = async (path: string, before: InputPage | null) => {
    stop.current.abort();
    const { signal: stopped } = (stop.current = new AbortController());
    setLoading(true);
    setProblem("");
    try {
      const found = await listInputs(path, before?.cursor ?? null, stopped);
      // A single allowed folder needs no choice.
      const only = path === "" && page === null && found.entries.length === 1 ? found.entries[0]!.path : null;
      const shown = only === null ? found : await listInputs(only, null, stopped);
      folder.value = shown.path;
      setPage(before ? { ...shown, entries: [...before.entries, ...shown.entries] } : shown);
    } catch (error) {
      if (stopped.aborted) return;
      setProblem(errorText(error));
      // The folder that was open last may be gone.
      if (page === null && path !== "") void load("", null);
    }
    setLoading(false);
  };
  useEffect(() => {
    void load(folder.peek(), null);
    return () => stop.current.abort();
  }, []);
  return {
    page,
    problem,
    isLoading,
    open: (path: string) => void load(path, null),
    more: () => void load(page!.path, page),
  };
}
