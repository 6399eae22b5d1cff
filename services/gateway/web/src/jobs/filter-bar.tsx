import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Job } from "../api/types.ts";
import { printable } from "../app/text.ts";
import { STATE_WORDS } from "../job/states.ts";
import { server } from "../server/info.ts";
import { type Filter, NO_FILTER, type Period, STATES, isFiltering, occurring } from "./filters.ts";

const PERIOD_WORDS: Readonly<Record<Period, string>> = {
  any: "Any time",
  hour: "Last hour",
  day: "Last 24 hours",
  week: "Last 7 days",
  month: "Last 30 days",
};

const DATES = "dates";

interface Props {
  filter: Filter;
  jobs: readonly Job[];
  summary: string;
  onChange: (filter: Filter) => void;
}

export function FilterBar({ filter, jobs, summary, onChange }: Props) {
  const set = (name: keyof Filter) => (value: string) => onChange({ ...filter, [name]: value });
  const [hasDays, setHasDays] = useState(false);
  const period = hasDays || filter.from || filter.to ? DATES : filter.period;
  const choosePeriod = (value: string) => {
    setHasDays(value === DATES);
    onChange({ ...filter, period: value === DATES ? "any" : (value as Period), from: "", to: "" });
  };
  const owners = withChosen(occurring(jobs, "owner"), filter.owner);
  const known = server.value?.engines.map(({ name }) => name) ?? [];
  const engines = withChosen([...new Set([...occurring(jobs, "engine"), ...known])].sort(), filter.engine);
  const showAll = () => {
    setHasDays(false);
    onChange(NO_FILTER);
  };
  return (
    <search class="filters">
      <label class="search">
        <span class="hidden-label">Search</span>
        <input
          id="search"
          type="search"
          placeholder="Search by name, file, engine or ID"
          autocomplete="off"
          spellcheck={false}
          value={filter.search}
          onInput={({ currentTarget }) => set("search")(currentTarget.value)}
        />
      </label>
      <Choice id="filter-state" label="State" value={filter.state} onChange={set("state")}>
        <option value="">All states</option>
        {STATES.map((state) => (
          <option key={state} value={state}>
            {STATE_WORDS[state]}
          </option>
        ))}
      </Choice>
      <Choice id="filter-engine" label="Engine" value={filter.engine} onChange={set("engine")}>
        <option value="">All engines</option>
        {engines.map((name) => (
          <option key={name} value={name}>
            {printable(name)}
          </option>
        ))}
      </Choice>
      {owners.length > 0 && (
        <Choice id="filter-owner" label="Owner" value={filter.owner} onChange={set("owner")}>
          <option value="">All owners</option>
          {owners.map((name) => (
            <option key={name} value={name}>
              {printable(name)}
            </option>
          ))}
        </Choice>
      )}
      <Choice id="filter-period" label="Submitted" value={period} onChange={choosePeriod}>
        {Object.entries(PERIOD_WORDS).map(([value, words]) => (
          <option key={value} value={value}>
            {words}
          </option>
        ))}
        <option value={DATES}>Between two days …</option>
      </Choice>
      {period === DATES && (
        <span class="days">
          <Day id="filter-from" label="From" value={filter.from} onChange={set("from")} />
          <Day id="filter-to" label="to" value={filter.to} onChange={set("to")} />
        </span>
      )}
      <p class="secondary summary" role="status">
        {summary}
        {isFiltering(filter) && (
          <button type="button" class="quiet" onClick={showAll}>
            Show all
          </button>
        )}
      </p>
    </search>
  );
}

interface ChoiceProps {
  id: string;
  label: string;
  value: string;
  onChange: (value: string) => void;
  children: ComponentChildren;
}

function Choice({ id, label, value, onChange, children }: ChoiceProps) {
  return (
    <label>
      <span class="hidden-label">{label}</span>
      <select id={id} value={value} onChange={({ currentTarget }) => onChange(currentTarget.value)}>
        {children}
      </select>
    </label>
  );
}

function Day({ id, label, value, onChange }: Omit<ChoiceProps, "children">) {
  return (
    <label>
      {label} <input id={id} type="date" value={value} onChange={({ currentTarget }) => onChange(currentTarget.value)} />
    </label>
  );
}

/** A shared address can name what no job here has. */
function withChosen(names: string[], chosen: string): string[] {
  return chosen === "" || names.includes(chosen) ? names : [chosen, ...names];
}
