import type { Job, Json } from "../api/types.ts";
import { printable } from "../app/text.ts";
import { moment } from "../format/numbers.ts";
import { fieldsOf } from "../new/schema.ts";
import { server } from "../server/info.ts";
import { eventText } from "./states.ts";

/** What the job was run with, and what has happened to it. */
export function Settings({ job }: { job: Job }) {
  return (
    <>
      <Parameters job={job} />
      <History job={job} />
    </>
  );
}

function Parameters({ job }: { job: Job }) {
  const engine = server.value?.engines.find(({ name }) => name === job.engine);
  const fields = engine ? fieldsOf(engine.parameters) : [];
  const known = new Set(fields.map(({ name }) => name));
  const rows = [
    ...fields.map(({ name, title, unit, unset, default: preset }) => ({
      name,
      title,
      unit,
      unset,
      value: Object.hasOwn(job.params, name) ? job.params[name] : preset,
      changed: Object.hasOwn(job.params, name) && JSON.stringify(job.params[name]) !== JSON.stringify(preset),
    })),
    ...Object.entries(job.params)
      // Such as strokes, which are not read but seen.
      .filter(([name, value]) => !known.has(name) && (value === null || typeof value !== "object"))
      .map(([name, value]) => ({ name, title: name, unit: "", unset: "automatic", value, changed: true })),
  ];
  if (rows.length === 0) return null;
  return (
    <section aria-labelledby="parameters-title">
      <h3 id="parameters-title">Settings</h3>
      <dl id="parameters" class="facts">
        {rows.map(({ name, title, unit, unset, value, changed }) => (
          <div key={name} data-changed={changed}>
            <dt>{printable(title)}</dt>
            <dd>{printable(value === null ? unset : valueText(value as Json, unit))}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** The volume in nm³ below which a job leaves components out. */
export function minimumVolume(job: Job): number {
  const engine = server.value?.engines.find(({ name }) => name === job.engine);
  const preset = fieldsOf(engine?.parameters ?? {}).find(({ name }) => name === "min_volume_nm3")?.default;
  const value = job.params.min_volume_nm3 ?? preset;
  return typeof value === "number" ? value : 0;
}

function valueText(value: Json, unit: string): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return unit && typeof value === "number" ? `${text} ${unit}` : text;
}

function History({ job }: { job: Job }) {
  if (job.history.length === 0) return null;
  return (
    <details id="history">
      <summary>History</summary>
      <ol class="history">
        {job.history.map((event) => (
          <li key={event.n}>
            <time dateTime={event.at} class="secondary">
              {moment(new Date(event.at))}
            </time>
            <span>{printable(eventText(event))}</span>
          </li>
        ))}
      </ol>
      <p class="secondary">
        Number <code>{printable(job.job_id)}</code>
      </p>
    </details>
  );
}
