import type { Job } from "../api/types.ts";
import { jobHref, route } from "../app/route.ts";
import { jobList } from "../app/store.ts";
import { printable } from "../app/text.ts";

export function JobTable() {
  const shown = jobList.value;
  return (
    <section aria-labelledby="jobs-title">
      <h2 id="jobs-title">Jobs</h2>
      <table>
        <thead>
          <tr><th>Job</th><th>Engine</th><th>State</th><th>Progress</th><th class="wide">Submitted</th></tr>
        </thead>
        <tbody id="jobs">{shown.map((job) => <Row key={job.job_id} job={job} />)}</tbody>
      </table>
      {shown.length === 0 && (
        <p id="no-jobs" class="secondary">
          No jobs yet. Submit one with <code>{`cryomamba segment t1.mrc --server ${location.origin}`}</code>
        </p>
      )}
    </section>
  );
}

function Row({ job }: { job: Job }) {
  const shown = route.value;
  const selected = shown.page === "job" && shown.jobId === job.job_id;
  return (
    <tr data-job={job.job_id} class={selected ? "selected" : ""}>
      <td><a href={jobHref(job.job_id)}>{title(job)}</a></td>
      <td>{printable(job.engine)}</td>
      <td>{job.state}</td>
      <td>
        <progress aria-label="Progress" value={job.state === "completed" ? 1 : job.progress.fraction} />
      </td>
      <td class="wide">{new Date(job.created_at).toLocaleString()}</td>
    </tr>
  );
}

export function title(job: Job): string {
  return printable(job.name || job.volume.name || job.job_id);
}
