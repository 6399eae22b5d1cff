import type { ComponentChildren } from "preact";
import { printable } from "../app/text.ts";
import { bytes, percent, timeLeft } from "../format/numbers.ts";
import { advice } from "../job/advice.ts";
import { type QueuedUpload, resume } from "./queue.ts";
import type { Snapshot } from "./upload.ts";

/** How far an upload is, with what can be done about it. */
export function UploadProgress({ queued, children }: { queued: QueuedUpload; children?: ComponentChildren }) {
  const { key, upload, snapshot } = queued;
  const { phase, sentBytes, totalBytes } = snapshot;
  const running = phase === "sending" || phase === "unreachable";
  return (
    <div class="upload" data-phase={phase}>
      {phase !== "done" && phase !== "failed" && (
        <progress
          value={phase === "checking" ? undefined : sentBytes / totalBytes}
          aria-label={`Upload of ${printable(upload.identity.name)}`}
        />
      )}
      <p class={phase === "failed" ? "problem" : "secondary"} role="status">
        {printable(uploadText(snapshot))}
      </p>
      {(running || phase === "waiting") && (
        <button type="button" class="quiet" onClick={() => upload.pause()}>
          Pause
        </button>
      )}
      {(phase === "paused" || (phase === "failed" && snapshot.problem?.status !== 422)) && (
        <button type="button" class="quiet" onClick={() => resume(key)}>
          {phase === "paused" ? "Resume" : "Try again"}
        </button>
      )}
      {phase === "needs-file" && (
        <label class="button file-button">
          Choose the file
          <input
            type="file"
            onChange={({ currentTarget }) => {
              const [file] = currentTarget.files ?? [];
              if (file) resume(key, file);
              currentTarget.value = "";
            }}
          />
        </label>
      )}
      {children}
    </div>
  );
}

export function uploadText(snapshot: Snapshot<unknown>): string {
  const { phase, sentBytes, totalBytes, speed, secondsLeft, problem } = snapshot;
  const share = `${percent(Math.floor((100 * sentBytes) / totalBytes) / 100)} of ${bytes(totalBytes)}`;
  switch (phase) {
    case "waiting":
      return `Waiting · ${bytes(totalBytes)}`;
    case "sending":
      return [share, speed && `${bytes(speed)}/s`, timeLeft(secondsLeft)].filter(Boolean).join(" · ");
    case "checking":
      return "Sent. The server checks the file.";
    case "paused":
      return `Paused · ${share}`;
    case "unreachable":
      return `${problem?.message ?? "The server is not available."} Trying again · ${share}`;
    case "needs-file":
      return `Interrupted at ${share}. Choose the same file to resume.`;
    case "failed":
      return [problem?.message, problem && advice(problem)].filter(Boolean).join(" ");
    case "done":
      return `Uploaded · ${bytes(totalBytes)}`;
  }
}
