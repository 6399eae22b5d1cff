import type { Job } from "../api/types.ts";
import { jobHref } from "../app/route.ts";
import { now } from "../app/clock.ts";
import { printable } from "../app/text.ts";
import { ago, moment, shapeText } from "../format/numbers.ts";
import { progressText, situation } from "../job/states.ts";
import { jobTitle } from "./filters.ts";
import { Thumbnail } from "./thumbnail.tsx";

interface Place {
  index: number;
  count: number;
  current: boolean;
  owners: boolean;
}

export function JobRow({ job, index, count, current, owners }: Place & { job: Job }) {
  const created = new Date(job.created_at);
  const named = job.name !== "" && job.name !== job.volume.name && job.volume.name !== job.engine;
  return (
    <li class="job-row" data-job={job.job_id} data-current={current} aria-setsize={count} aria-posinset={index + 1}>
      <Thumbnail job={job} />
      <span class="job-what">
        <a href={jobHref(job.job_id)} aria-current={current ? "true" : undefined}>
          {printable(jobTitle(job))}
        </a>
        <span class="secondary">
          {[named && printable(job.volume.name), `${shapeText(job.volume.shape)} voxels`].filter(Boolean).join(" · ")}
        </span>
      </span>
      <span class="job-engine">{printable(job.engine)}</span>
      <JobState job={job} />
      {owners && <span class="job-owner secondary">{printable(job.owner)}</span>}
      <time class="job-time secondary" dateTime={job.created_at} title={moment(created)}>
        {ago(created, new Date(now.value))}
      </time>
    </li>
  );
}

function JobState({ job }: { job: Job }) {
  const { word, sentence, fraction } = situation(job);
  const details = job.state === "running" ? progressText(job) : sentence;
  return (
    <span class="job-state">
      <span class="state" data-state={job.state}>
        {word}
      </span>
      {job.state === "running" && (
        <progress value={fraction ?? 0} aria-label={`Progress of ${printable(jobTitle(job))}`} />
      )}
      <span class="secondary job-note">{printable(details)}</span>
    </span>
  );
}
