import { useEffect, useState } from "preact/hooks";
import { ApiError, errorText } from "../api/errors.ts";
import type { Job } from "../api/types.ts";
import { jobHref, listHref } from "../app/route.ts";
import { jobs, loadJob } from "../app/store.ts";
import { estimateTexts, printable } from "../app/text.ts";
import { moment, shapeText, voxelSizeText } from "../format/numbers.ts";
import { filterQuery, isFiltering, jobTitle } from "../jobs/filters.ts";
import { filter, listed } from "../jobs/listing.ts";
import { server } from "../server/info.ts";
import { isViewKept } from "../viewer/kept-view.ts";
import { Viewer } from "../viewer/viewer.tsx";
import { Actions } from "./actions.tsx";
import { Downloads } from "./downloads.tsx";
import { Errors, Warnings } from "./messages.tsx";
import { Results } from "./results.tsx";
import { Settings } from "./settings.tsx";
import { priorityText, situation } from "./states.ts";

const NOT_FOUND = 404;

export function JobPage({ jobId }: { jobId: string }) {
  const job = jobs.value.get(jobId);
  const [problem, setProblem] = useState<unknown>(null);
  const [stays] = useState(() => isViewKept(jobId));
  // A job of the list comes without its history.
  useEffect(() => {
    if (!stays) scrollTo(0, 0);
    loadJob(jobId).catch(setProblem);
  }, [jobId]);
  if (!job) return problem === null ? <p class="secondary">Loading the job …</p> : <Missing problem={problem} />;
  return (
    <article id="job">
      <Head job={job} />
      <div class="job-columns">
        <div class="job-viewer">
          <Viewer jobId={jobId} />
        </div>
        <div class="job-details">
          <Errors job={job} />
          <Warnings job={job} />
          <Estimates job={job} />
          <Results job={job} />
          <Downloads job={job} />
          <Settings job={job} />
        </div>
      </div>
    </article>
  );
}

function Missing({ problem }: { problem: unknown }) {
  const gone = problem instanceof ApiError && problem.status === NOT_FOUND;
  return (
    <div class="card empty">
      <h2>{gone ? "There is no such job" : "The job could not be loaded"}</h2>
      <p>{gone ? "It was deleted, or it belongs to somebody else." : printable(errorText(problem))}</p>
      <a class="button" href={listHref()}>
        Show all jobs
      </a>
    </div>
  );
}

function Head({ job }: { job: Job }) {
  return (
    <header class="job-head">
      <Neighbours job={job} />
      <h2 id="job-name">{printable(jobTitle(job))}</h2>
      <p class="secondary" id="job-facts">
        {printable(facts(job).join(" · "))}
      </p>
      <Status job={job} />
      {job.state === "running" && <Dashboard url={job.progress.dashboard_url} />}
      <Actions job={job} />
    </header>
  );
}

function facts(job: Job): string[] {
  const named = job.name !== "" && job.name !== job.volume.name && job.volume.name !== job.engine && !job.volume.job_id;
  return [
    ...(named ? [job.volume.name] : []),
    job.engine,
    `${shapeText(job.volume.shape)} voxels of ${voxelSizeText(job.volume.voxel_size_A)}`,
    ...(job.within ? [`within ${job.within.name}`] : []),
    ...(job.owner ? [job.owner] : []),
    ...(job.priority ? [priorityText(job.priority)] : []),
    moment(new Date(job.created_at)),
  ];
}

/** The way back, and to the jobs before and after this one. */
function Neighbours({ job }: { job: Job }) {
  const all = listed.value;
  const index = all.findIndex(({ job_id: id }) => id === job.job_id);
  const newer = all[index - 1];
  const older = all[index + 1];
  return (
    <nav class="neighbours" aria-label="Jobs">
      <a href={listHref(filterQuery(filter.value))}>{isFiltering(filter.value) ? "‹ Jobs found" : "‹ All jobs"}</a>
      {index > 0 && newer && <a href={jobHref(newer.job_id)}>Newer</a>}
      {index >= 0 && older && <a href={jobHref(older.job_id)}>Older</a>}
    </nav>
  );
}

const QUEUE_REFRESH_MS = 5000;

function Status({ job }: { job: Job }) {
  const { job_id: id, state } = job;
  const unplaced = state === "pending" && job.queue_position === null && job.blocked_reason === "";
  useEffect(() => {
    // Messages do not say where a job stands in the queue, and other jobs move it.
    if (state !== "pending") return;
    const refresh = () => loadJob(id).catch(() => undefined);
    if (unplaced) void refresh();
    const timer = setInterval(refresh, QUEUE_REFRESH_MS);
    return () => clearInterval(timer);
  }, [state, id, unplaced]);
  const { word, sentence, fraction } = situation(job, server.value?.workers.length ?? null);
  const active = job.state === "running";
  return (
    <div id="job-status" class="job-status" role="status">
      <span class="state" data-state={job.state}>
        {word}
      </span>
      {job.state !== "failed" && <span>{printable(sentence)}</span>}
      {active && <progress value={fraction ?? undefined} aria-label="Progress of this job" />}
      {active && fraction !== null && <span class="secondary">{Math.floor(100 * fraction)} %</span>}
    </div>
  );
}

/** The page of the cluster that computes the tiles; nothing of it is loaded here. */
function Dashboard({ url }: { url?: string | null }) {
  if (!url || !/^https?:\/\//.test(url)) return null;
  return (
    <a id="job-dashboard" href={url} target="_blank" rel="noopener noreferrer">
      Dask dashboard
    </a>
  );
}

function Estimates({ job }: { job: Job }) {
  const estimates = Object.entries(job.estimates).map(([name, value]) => estimateTexts(name, value));
  if (estimates.length === 0) return null;
  return (
    <section aria-labelledby="estimates-title">
      <h3 id="estimates-title">Determined from the tomogram</h3>
      <dl id="job-estimates" class="facts">
        {estimates.map(([title, text]) => (
          <div key={title}>
            <dt>{printable(title)}</dt>
            <dd>{printable(text)}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
