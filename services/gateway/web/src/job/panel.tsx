import { useEffect, useState } from "preact/hooks";
import { artifactPath } from "../api/client.ts";
import { errorText } from "../api/errors.ts";
import type { Job } from "../api/types.ts";
import { jobs, loadJob } from "../app/store.ts";
import { estimateText, fileSize, printable } from "../app/text.ts";
import { title } from "../jobs/table.tsx";
import { Viewer } from "../viewer/viewer.tsx";

export function JobPanel({ jobId }: { jobId: string }) {
  const job = jobs.value.get(jobId);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (!jobs.peek().has(jobId)) loadJob(jobId).catch((error: unknown) => setProblem(errorText(error)));
  }, [jobId]);
  if (!job) return <p class="secondary">{printable(problem)}</p>;
  return (
    <article id="job">
      <h2 id="job-name">{title(job)}</h2>
      <p id="job-status">{printable([job.engine, ...status(job)].filter(Boolean).join(" · "))}</p>
      <Warnings job={job} />
      <Estimates job={job} />
      <Viewer jobId={jobId} />
      <Files job={job} />
    </article>
  );
}

function Warnings({ job }: { job: Job }) {
  const said = new Set(job.warnings.map(({ message }) => message));
  const texts = [
    ...job.volume.warnings.filter((text) => !said.has(text)),
    ...job.warnings.map(({ message, hint }) => `${message} ${hint}`),
  ];
  if (texts.length === 0) return null;
  return <ul id="job-warnings" class="warnings">{texts.map((text) => <li key={text}>{printable(text)}</li>)}</ul>;
}

function Estimates({ job }: { job: Job }) {
  const texts = Object.entries(job.estimates).map(([name, value]) => estimateText(name, value));
  if (texts.length === 0) return null;
  return <p id="job-estimates" class="secondary">{printable(`Estimated: ${texts.join(", ")}`)}</p>;
}

function Files({ job }: { job: Job }) {
  return (
    <ul id="files">
      {job.artifacts.map(({ name, size_bytes: size }) => (
        <li key={name}>
          <a href={artifactPath(job.job_id, name)} download={name}>{printable(name)}</a> {fileSize(size)}
        </li>
      ))}
    </ul>
  );
}

function status({ state, progress, errors }: Job): (string | undefined)[] {
  if (state === "failed") return [state, errors.at(-1)?.message, errors.at(-1)?.hint];
  if (state !== "running") return [state];
  if (progress.fraction === 1) return [`Finishing: ${progress.stage}`];
  return [state, progress.stage, `${Math.round(100 * progress.fraction)} %`];
}
