import { useRef, useState } from "preact/hooks";
import { artifactPath, cancelJob, deleteJob, retryJob } from "../api/client.ts";
import { ApiError } from "../api/errors.ts";
import { type Job, isFinal } from "../api/types.ts";
import { go, listHref } from "../app/route.ts";
import { forgetJob, updateJob } from "../app/store.ts";
import { printable } from "../app/text.ts";
import { bytes } from "../format/numbers.ts";
import { jobTitle } from "../jobs/filters.ts";
import { fillFrom } from "../new/draft.ts";
import { templateOf } from "../new/request.ts";
import { advice } from "./advice.ts";
import { inOrder } from "./artifacts.ts";

export function Actions({ job }: { job: Job }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const actions = useRef<HTMLDivElement>(null);
  const act = async (action: () => Promise<void>) => {
    setBusy(true);
    setProblem("");
    try {
      await action();
    } catch (error) {
      setProblem(error instanceof ApiError ? [error.message, advice(error)].filter(Boolean).join(" ") : String(error));
    } finally {
      setBusy(false);
      // A button that can no longer be pressed loses the keyboard.
      requestAnimationFrame(() => {
        if (document.activeElement === document.body) actions.current?.focus({ preventScroll: true });
      });
    }
  };
  return (
    <>
      <div ref={actions} class="actions" role="group" aria-label="Actions" tabIndex={-1}>
        <DownloadMask job={job} />
        {!isFinal(job.state) && (
          <button
            id="cancel"
            type="button"
            disabled={busy || job.cancel_requested}
            onClick={() => void act(async () => updateJob(await cancelJob(job.job_id)))}
          >
            Cancel
          </button>
        )}
        {(job.state === "failed" || job.state === "cancelled") && (
          <button
            id="retry"
            type="button"
            disabled={busy}
            onClick={() => void act(async () => updateJob(await retryJob(job.job_id)))}
          >
            Run again
          </button>
        )}
        {job.engine !== "rethreshold" && (
          <button id="change" type="button" onClick={() => runWithChanges(job)}>
            Run with changes …
          </button>
        )}
        {isFinal(job.state) && <Delete job={job} busy={busy} act={act} />}
      </div>
      {problem && (
        <p class="message danger" role="alert">
          {printable(problem)}
        </p>
      )}
    </>
  );
}

function DownloadMask({ job }: { job: Job }) {
  const mask = inOrder(job.artifacts).find(({ name }) => /^mask(_r\d+)?\.mrc$/.test(name));
  if (!mask) return null;
  return (
    <a id="download-mask" class="button primary" href={artifactPath(job.job_id, mask.name)} download>
      Download mask <span class="size">{bytes(mask.size_bytes)}</span>
    </a>
  );
}

function runWithChanges(job: Job): void {
  fillFrom(templateOf(job));
  go("#/new");
}

interface DeleteProps {
  job: Job;
  busy: boolean;
  act: (action: () => Promise<void>) => Promise<void>;
}

function Delete({ job, busy, act }: DeleteProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const remove = async () => {
    dialog.current?.close();
    await act(async () => {
      await deleteJob(job.job_id);
      forgetJob(job.job_id);
      go(listHref());
    });
  };
  return (
    <>
      <button id="delete" type="button" disabled={busy} onClick={() => dialog.current?.showModal()}>
        Delete …
      </button>
      <dialog ref={dialog} aria-labelledby="delete-title">
        <h3 id="delete-title">Delete this job?</h3>
        <p>
          {printable(
            `${jobTitle(job)} and its output files are removed from the server for everybody. The tomogram stays.`,
          )}
        </p>
        <div class="actions">
          <button id="confirm-delete" type="button" class="danger" onClick={() => void remove()}>
            Delete
          </button>
          <button type="button" autofocus onClick={() => dialog.current?.close()}>
            Keep it
          </button>
        </div>
      </dialog>
    </>
  );
}
