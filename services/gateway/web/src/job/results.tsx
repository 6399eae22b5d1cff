import { useEffect, useState } from "preact/hooks";
import { artifactPath, request } from "../api/client.ts";
import { errorText } from "../api/errors.ts";
import type { Job } from "../api/types.ts";
import { printable } from "../app/text.ts";
import { count, measured } from "../format/numbers.ts";
import { median } from "./histogram.ts";
import { Plot } from "./plot.tsx";
import { type Statistics, componentValues, labelTable, picksText } from "./statistics.ts";

const STATISTICS = "stats.json";

/** The numbers of a finished mask. */
export function Results({ job }: { job: Job }) {
  const file = job.artifacts.find(({ name }) => name === STATISTICS);
  const [statistics, setStatistics] = useState<Statistics | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (!file) return;
    const stop = new AbortController();
    request(artifactPath(job.job_id, STATISTICS), { signal: stop.signal })
      .then(async (response) => setStatistics((await response.json()) as Statistics))
      .catch((error: unknown) => {
        if (!stop.signal.aborted) setProblem(errorText(error));
      });
    return () => stop.abort();
  }, [job.job_id, file?.sha256]);
  if (!file) return null;
  return (
    <section id="results" aria-labelledby="results-title">
      <h3 id="results-title">Measurements</h3>
      {problem && <p class="message danger">{printable(problem)}</p>}
      {statistics ? <Numbers statistics={statistics} /> : !problem && <p class="secondary">Loading …</p>}
    </section>
  );
}

function Numbers({ statistics }: { statistics: Statistics }) {
  const { labels, instance_count: components, instances } = statistics;
  const { volumes_nm3: volumes, thicknesses_A: thicknesses } = componentValues(statistics);
  const picks = picksText(statistics);
  const listed =
    components > instances.length ? `the ${count(instances.length)} largest of ${count(components)} components` : "";
  return (
    <>
      {picks && <p class="figure">{picks}</p>}
      {labels.length > 0 && <LabelTable statistics={statistics} />}
      {volumes.length === 0 && <p class="secondary">The mask is empty, so there is nothing to measure.</p>}
      <Plot
        id="sizes"
        title="Sizes of the components"
        values={volumes}
        axis="Volume (nm³)"
        summary={summary(volumes, "nm³", listed)}
      />
      <Plot
        id="thicknesses"
        title="Thickness of the components"
        values={thicknesses}
        axis="Thickness (Å)"
        summary={summary(thicknesses, "Å", listed)}
      />
    </>
  );
}

function summary(values: readonly number[], unit: string, listed: string): string {
  const middle = median(values);
  if (middle === null) return "";
  return [`Median ${measured(middle)}\u00a0${unit}`, listed && `of ${listed}`].filter(Boolean).join(" ");
}

function LabelTable({ statistics }: { statistics: Statistics }) {
  return (
    <table id="statistics" class="numbers">
      <thead>
        <tr>
          <td />
          {statistics.labels.map(({ label, name }) => (
            <th key={label} scope="col">
              {printable(name || `Label ${label}`)}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {labelTable(statistics).map(({ title, unit, values }) => (
          <tr key={title}>
            <th scope="row">
              {title}
              {unit && <span class="secondary"> ({unit})</span>}
            </th>
            {values.map((value, index) => (
              <td key={statistics.labels[index]?.label}>{value}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
