import { printable } from "../app/text.ts";
import type { Field } from "./schema.ts";
import { rangeText, textOf } from "./values.ts";

interface Props {
  field: Field;
  text: string;
  problem: string;
  onText: (text: string) => void;
}

/** One parameter: its control, its unit, what it means, and what is wrong with what was entered. */
export function Control({ field, text, problem, onText }: Props) {
  const id = `param-${field.name}`;
  const described = `${id}-help${problem ? ` ${id}-problem` : ""}`;
  const shared = { id, text, onText, described, invalid: problem !== "" };
  return (
    <div class="field" data-kind={field.kind}>
      {field.kind === "boolean" ? (
        <CheckBox {...shared} title={field.title} />
      ) : (
        <>
          <label for={id}>{printable(field.title)}</label>
          <div class="row">
            {field.kind === "choice" ? <Choices {...shared} field={field} /> : <TextEntry {...shared} field={field} />}
            {field.unit && <span class="unit">{printable(field.unit)}</span>}
          </div>
        </>
      )}
      {problem && (
        <p class="problem" id={`${id}-problem`}>
          {problem}
        </p>
      )}
      <p class="secondary help" id={`${id}-help`}>
        {printable(help(field))}
      </p>
    </div>
  );
}

function help(field: Field): string {
  const range = field.kind === "number" || field.kind === "integer" ? rangeText(field, field.unit) : "";
  return [field.description, range && `${capitalized(range)}.`].filter(Boolean).join(" ");
}

function capitalized(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

interface Entry {
  id: string;
  text: string;
  onText: (text: string) => void;
  described: string;
  invalid: boolean;
}

function CheckBox({ id, text, onText, described, title }: Entry & { title: string }) {
  return (
    <label class="check">
      <input
        id={id}
        type="checkbox"
        checked={text === "true"}
        aria-describedby={described}
        onChange={({ currentTarget }) => onText(String(currentTarget.checked))}
      />
      {printable(title)}
    </label>
  );
}

function Choices({ id, text, onText, described, invalid, field }: Entry & { field: Field }) {
  const choices = field.kind === "choice" ? field.choices : [];
  return (
    <select
      id={id}
      value={text}
      aria-describedby={described}
      aria-invalid={invalid}
      onChange={({ currentTarget }) => onText(currentTarget.value)}
    >
      {field.optional && <option value="">Not set</option>}
      {!field.optional && text === "" && <option value="">{choices.length === 0 ? "None available" : "Choose one"}</option>}
      {choices.map((choice) => (
        <option key={JSON.stringify(choice)} value={JSON.stringify(choice)}>
          {printable(typeof choice === "string" ? choice : JSON.stringify(choice))}
        </option>
      ))}
    </select>
  );
}

function TextEntry({ id, text, onText, described, invalid, field }: Entry & { field: Field }) {
  const numeric = field.kind === "number" || field.kind === "integer";
  return (
    <input
      id={id}
      type="text"
      inputMode={numeric ? "decimal" : "text"}
      autocomplete="off"
      spellcheck={false}
      placeholder={field.optional ? capitalized(field.unset) : textOf(field, field.default)}
      value={text}
      aria-describedby={described}
      aria-invalid={invalid}
      onInput={({ currentTarget }) => onText(currentTarget.value)}
    />
  );
}
