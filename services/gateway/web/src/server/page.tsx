import type { Job } from "../api/types.ts";
import { now } from "../app/clock.ts";
import { jobHref } from "../app/route.ts";
import { health, locked } from "../app/store.ts";
import { printable } from "../app/text.ts";
import { ago, bytes, counted, duration } from "../format/numbers.ts";
import { priorityText } from "../job/states.ts";
import { jobTitle } from "../jobs/filters.ts";
import { pending, server, serverProblem } from "./info.ts";
import { Workers } from "./workers.tsx";

export function ServerPage() {
  return (
    <section class="server" aria-labelledby="server-title">
      <h2 id="server-title">Server</h2>
      <p id="server-summary">{printable(summary())}</p>
      {serverProblem.value && <p class="message danger">{printable(serverProblem.value)}</p>}
      <div class="server-columns">
        <div>
          <Workers />
          <Queue />
          <About />
        </div>
        <Engines />
      </div>
    </section>
  );
}

function summary(): string {
  const info = server.value;
  if (!info) return serverProblem.value ? "" : "Loading …";
  const waiting = pending.value.length;
  const mine = locked.value ? " of yours" : "";
  if (info.workers.length === 0) {
    return `No worker is connected, so nothing is computed at present. Jobs can be submitted once one is; ${waitingText(waiting, mine)}.`;
  }
  const taking = info.workers.filter(({ drained }) => !drained);
  if (taking.length === 0) return `All workers are drained, so no job is started at present; ${waitingText(waiting, mine)}.`;
  const free = taking.filter(({ job_id: job }) => job === null).length;
  const ready =
    free > 0
      ? `${free === 1 ? "One worker is" : `${free} workers are`} free: a new job starts at once`
      : "All workers are busy: a new job waits for its turn";
  return `${ready}; ${waitingText(waiting, mine)}.`;
}

function waitingText(waiting: number, mine: string): string {
  if (waiting === 0) return `no job${mine} is waiting`;
  return `${counted(waiting, "job")}${mine} ${waiting === 1 ? "is" : "are"} waiting`;
}

function Queue() {
  const waiting = pending.value;
  return (
    <section class="card" aria-labelledby="queue-title">
      <h3 id="queue-title">Queue</h3>
      {waiting.length === 0 && <p class="secondary">Nothing is waiting.</p>}
      {waiting.length > 0 && (
        <ol id="queue" class="plain numbered">
          {waiting.map((job) => (
            <QueueRow key={job.job_id} job={job} />
          ))}
        </ol>
      )}
      {locked.value && <p class="secondary">Jobs of others may wait, too; only yours are shown.</p>}
    </section>
  );
}

function QueueRow({ job }: { job: Job }) {
  return (
    <li>
      <a href={jobHref(job.job_id)}>{printable(jobTitle(job))}</a>
      <span class="secondary">
        {printable(queueFacts(job).join(" · "))}
      </span>
    </li>
  );
}

function queueFacts(job: Job): string[] {
  return [
    job.engine,
    ...(job.priority ? [priorityText(job.priority)] : []),
    `submitted ${ago(new Date(job.created_at), new Date(now.value))}`,
    ...(job.blocked_reason ? [job.blocked_reason] : []),
  ];
}

function Engines() {
  const engines = server.value?.engines ?? [];
  return (
    <section class="card" aria-labelledby="offered-title">
      <h3 id="offered-title">Engines</h3>
      <ul class="plain offered">
        {engines.map(({ name, summary: text, available, reason }) => (
          <li key={name}>
            <strong>{printable(name)}</strong>
            <span class="secondary">{printable(available ? text : `Not available: ${reason}`)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function About() {
  const info = server.value;
  const uptime = health.value?.uptime_s;
  const graphics = info?.system.gpus ?? [];
  return (
    <section class="card" aria-labelledby="about-title">
      <h3 id="about-title">About</h3>
      <dl class="facts">
        <div>
          <dt>Version</dt>
          <dd id="version">{printable(health.value?.version ?? "–")}</dd>
        </div>
        <div>
          <dt>Gateway</dt>
          <dd id="health">{uptime === undefined ? "Not available" : `Running for ${duration(uptime)}`}</dd>
        </div>
        {info && (
          <div>
            <dt>Machine</dt>
            <dd>
              {printable([`${counted(info.system.cpu_count, "processor")}`, ...graphics.map(gpuText)].join(", "))}
            </dd>
          </div>
        )}
      </dl>
      <p class="secondary">
        <a href="/docs">API reference</a> for programs, also as <a href="/openapi.json">OpenAPI</a>
      </p>
    </section>
  );
}

function gpuText({ name, memory_bytes: memory }: { name: string; memory_bytes: number }): string {
  return `${name} with ${bytes(memory)}`;
}
