import { useEffect, useState } from "preact/hooks";
import { errorText } from "../api/errors.ts";
import { now } from "../app/clock.ts";
import { printable } from "../app/text.ts";
import { ago } from "../format/numbers.ts";
import { jobTitle } from "../jobs/filters.ts";
import { type MaskJobs, findMaskJobs } from "./mask-jobs.ts";

const TYPING_MS = 250;

interface Props {
  value: string;
  invalid: boolean;
  onValue: (value: string) => void;
}

/** Choose one of all jobs that have a mask; a search finds older ones. */
export function MaskJobChoice({ value, invalid, onValue }: Props) {
  const [search, setSearch] = useState("");
  const [found, setFound] = useState<MaskJobs | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const stop = new AbortController();
    const load = async () => {
      try {
        setFound(await findMaskJobs(search, stop.signal));
        setProblem("");
      } catch (error) {
        if (!stop.signal.aborted) setProblem(errorText(error));
      }
    };
    const timer = setTimeout(() => void load(), search ? TYPING_MS : 0);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [search]);
  const jobs = found?.jobs ?? [];
  const known = jobs.some(({ job_id: id }) => id === value);
  return (
    <>
      <input
        id="within-search"
        type="search"
        aria-label="Search for the job"
        placeholder="Search jobs with a mask"
        autocomplete="off"
        value={search}
        onInput={({ currentTarget }) => setSearch(currentTarget.value)}
      />
      <select
        aria-label="Job whose mask is used"
        value={value}
        aria-invalid={invalid}
        onChange={({ currentTarget }) => onValue(currentTarget.value)}
      >
        <option value="">{emptyText(found, search)}</option>
        {value && !known && <option value={value}>{printable(value)}</option>}
        {jobs.map((job) => (
          <option key={job.job_id} value={job.job_id}>
            {printable(`${jobTitle(job)}, ${job.engine}, ${ago(new Date(job.created_at), new Date(now.value))}`)}
          </option>
        ))}
      </select>
      {problem && <p class="problem">{printable(problem)}</p>}
      {found?.more && <p class="secondary help">These are the newest {jobs.length}. Search for older ones.</p>}
    </>
  );
}

function emptyText(found: MaskJobs | null, search: string): string {
  if (found === null) return "Looking for jobs";
  if (found.jobs.length) return "Choose a job";
  return search.trim() ? "No job with a mask matches" : "No job has a mask yet";
}
