import { artifactPath } from "../api/client.ts";
import type { Job } from "../api/types.ts";
import { printable } from "../app/text.ts";
import { bytes } from "../format/numbers.ts";
import { filePurpose, inOrder } from "./artifacts.ts";

export function Downloads({ job }: { job: Job }) {
  if (job.artifacts.length === 0) return null;
  return (
    <section aria-labelledby="files-title">
      <h3 id="files-title">Files</h3>
      <ul id="files" class="files">
        {inOrder(job.artifacts).map(({ name, size_bytes: size, download_name: savedAs }) => {
          const { title, purpose } = filePurpose(name);
          return (
            <li key={name}>
              <a href={artifactPath(job.job_id, name)} download>
                {printable(title)}
              </a>
              <span class="size">{bytes(size)}</span>
              <span class="secondary purpose">
                {purpose} <code>{printable(savedAs)}</code>
              </span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
