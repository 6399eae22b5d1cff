import type { Job } from "../api/types.ts";
import { printable } from "../app/text.ts";
import { advice, concernsOperator } from "./advice.ts";

/** Why a job has failed, and what the visitor can do. */
export function Errors({ job }: { job: Job }) {
  const error = job.errors.at(-1);
  if (!error || (job.state !== "failed" && job.state !== "pending")) return null;
  const help = advice(error);
  const earlier = job.errors.slice(0, -1);
  return (
    <section id="job-errors" class="message danger" aria-labelledby="error-title">
      <h3 id="error-title">{job.state === "failed" ? "Why it failed" : "Why it was interrupted"}</h3>
      <p>{printable(error.message)}</p>
      {help && <p>{printable(help)}</p>}
      {concernsOperator(error) && error.hint && (
        <p class="secondary">{printable(`For whoever runs the server: ${error.hint}`)}</p>
      )}
      {earlier.length > 0 && (
        <details>
          <summary>{earlier.length === 1 ? "One earlier attempt" : `${earlier.length} earlier attempts`}</summary>
          <ul>
            {earlier.map(({ attempt, message }) => (
              <li key={attempt}>{printable(`Attempt ${attempt}: ${message}`)}</li>
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}

/** What should be checked in the tomogram or the result. */
export function Warnings({ job }: { job: Job }) {
  const told = new Set(job.warnings.map(({ message }) => message));
  const texts = [
    ...job.volume.warnings.filter((text) => !told.has(text)),
    ...job.warnings.map(({ message, hint }) => `${message} ${hint}`),
  ];
  if (texts.length === 0) return null;
  return (
    <ul id="job-warnings" class="warnings" aria-label="Please check">
      {texts.map((text) => (
        <li key={text}>{printable(text)}</li>
      ))}
    </ul>
  );
}
