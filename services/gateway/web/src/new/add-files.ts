// Files that a visitor chooses or drops: what can be used is uploaded.

import { signal } from "@preact/signals";
import { shapeText, voxelSizeText } from "../format/numbers.ts";
import { addUpload, interrupted, resume } from "../upload/queue.ts";
import { addUploaded, volumes } from "./draft.ts";
import { HEADER_BYTES, glance } from "./mrc-header.ts";

/** Fingers drag nothing from another window. */
export const CAN_DROP = !matchMedia("(pointer: coarse)").matches;

/** Why files that were added last cannot be used. */
export const fileProblems = signal<readonly string[]>([]);

/** Settles when the headers of all chosen files have been read; until then the files are not in the list. */
let reading: Promise<unknown> | null = null;

/** Add files to the job and begin their uploads. */
export function addFiles(files: readonly File[]): void {
  const all = Promise.allSettled([reading, addAll(files)]).then(() => {
    if (reading === all) reading = null;
  });
  reading = all;
}

/** Return what settles when all chosen files are in the list, null if they are. */
export function filesBeingRead(): Promise<unknown> | null {
  return reading;
}

async function addAll(files: readonly File[]): Promise<void> {
  const problems: string[] = [];
  for (const file of files) {
    const waiting = interrupted(file);
    if (waiting) {
      resume(waiting.key, file);
      if (!volumes.value.some(({ uploadKey }) => uploadKey === waiting.key)) addUploaded(waiting, "");
      continue;
    }
    const found = await look(file);
    if ("problem" in found) problems.push(`${file.name}: ${found.problem}`);
    else addUploaded(addUpload(file), found.details);
  }
  fileProblems.value = problems;
}

async function look(file: File): Promise<{ problem: string } | { details: string }> {
  let start: ArrayBuffer;
  try {
    start = await file.slice(0, HEADER_BYTES).arrayBuffer();
  } catch {
    // A folder is dropped like a file, and cannot be read like one.
    return { problem: "This is a folder, or a file that cannot be read. Add the files in it." };
  }
  const found = glance(start, file.size);
  if (found.kind === "refused") return { problem: found.problem };
  if (found.kind === "compressed") return { details: "compressed" };
  const size = found.voxelSize ? ` of ${voxelSizeText(found.voxelSize)}` : "";
  return { details: `${shapeText(found.shape)} voxels${size}` };
}

/** Take files that are dropped anywhere; a browser would leave the page and open them. */
export function acceptDrops(onFiles: (files: readonly File[]) => void): void {
  const holdsFiles = ({ dataTransfer }: DragEvent) => dataTransfer?.types.includes("Files") ?? false;
  addEventListener("dragover", (event) => {
    if (holdsFiles(event)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (event.defaultPrevented || !holdsFiles(event)) return;
    event.preventDefault();
    onFiles([...event.dataTransfer!.files]);
  });
}
