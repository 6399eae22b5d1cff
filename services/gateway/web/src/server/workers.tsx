// The workers of the server; administrators decide which of them take jobs.

import { useRef, useState } from "preact/hooks";
import { drainWorker, removeWorker, resumeWorker } from "../api/client.ts";
import { errorText } from "../api/errors.ts";
import type { WorkerInfo } from "../api/types.ts";
import { jobHref } from "../app/route.ts";
import { jobs } from "../app/store.ts";
import { printable } from "../app/text.ts";
import { bytes } from "../format/numbers.ts";
import { progressText } from "../job/states.ts";
import { jobTitle } from "../jobs/filters.ts";
import { isAdministrator } from "../models/list.ts";
import { refreshServer, server } from "./info.ts";

export function Workers() {
  const workers = server.value?.workers ?? [];
  return (
    <section class="card" aria-labelledby="workers-title">
      <h3 id="workers-title">Workers</h3>
      {workers.length === 0 && <p class="secondary">None is connected.</p>}
      <ul id="workers" class="plain">
        {workers.map((worker) => (
          <WorkerRow key={worker.worker} worker={worker} />
        ))}
      </ul>
    </section>
  );
}

function WorkerRow({ worker }: { worker: WorkerInfo }) {
  const job = worker.job_id ? jobs.value.get(worker.job_id) : undefined;
  return (
    <li class="worker">
      <span class="state" data-state={stateOf(worker)}>
        {workerWord(worker)}
      </span>
      <span title={printable(worker.worker)}>{printable(worker.host)}</span>
      {job && <a href={jobHref(job.job_id)}>{printable(jobTitle(job))}</a>}
      {job && <span class="secondary">{progressText(job)}</span>}
      <span class="secondary">{printable(workerFacts(worker))}</span>
      {isAdministrator.value && <WorkerActions worker={worker} />}
    </li>
  );
}

function stateOf({ drained, job_id: job }: WorkerInfo): string {
  if (job) return "running";
  return drained ? "cancelled" : "completed";
}

export function workerWord({ drained, job_id: job }: WorkerInfo): string {
  if (drained) return job ? "Draining" : "Drained";
  return job ? "Computing" : "Free";
}

/** What a worker has besides engines. */
export function workerFacts({ memory_bytes: memory, gpus }: WorkerInfo): string {
  return [...(memory ? [`${bytes(memory)} memory`] : []), ...gpus].join(" · ");
}

function WorkerActions({ worker: { worker, host, drained } }: { worker: WorkerInfo }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const run = async (action: (name: string) => Promise<void>) => {
    dialog.current?.close();
    setBusy(true);
    setProblem("");
    try {
      await action(worker);
    } catch (error) {
      setProblem(errorText(error));
    }
    await refreshServer();
    setBusy(false);
  };
  const label = (verb: string) => printable(`${verb} the worker ${worker}`);
  return (
    <span class="worker-actions">
      {drained ? (
        <button
          type="button"
          class="quiet"
          disabled={busy}
          aria-label={label("Resume")}
          onClick={() => void run(resumeWorker)}
        >
          Resume
        </button>
      ) : (
        <button
          type="button"
          class="quiet"
          disabled={busy}
          aria-label={label("Drain")}
          title="It ends its job and takes no other"
          onClick={() => void run(drainWorker)}
        >
          Drain
        </button>
      )}
      <button
        type="button"
        class="quiet"
        disabled={busy}
        aria-label={label("Remove")}
        onClick={() => dialog.current?.showModal()}
      >
        Remove …
      </button>
      {problem && (
        <span class="problem" role="alert">
          {printable(problem)}
        </span>
      )}
      <dialog ref={dialog} aria-label={printable(`Remove the worker on ${host}?`)}>
        <h3>Remove this worker?</h3>
        <p>
          {printable(
            `The server refuses ${worker} from now on. Its job goes back into the queue at once, and its key is revoked if no other worker uses it.`,
          )}
        </p>
        <div class="actions">
          <button type="button" class="danger confirm-remove" onClick={() => void run(removeWorker)}>
            Remove
          </button>
          <button type="button" autofocus onClick={() => dialog.current?.close()}>
            Keep it
          </button>
        </div>
      </dialog>
    </span>
  );
}
