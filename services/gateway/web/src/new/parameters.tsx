import { Fragment } from "preact";
import { printable } from "../app/text.ts";
import { Licence } from "../models/licence.tsx";
import { models, modelsFor } from "../models/list.ts";
import { engine, fields, refused, resetTexts, setText, texts } from "./draft.ts";
import { Control } from "./field.tsx";
import { changedFields, problemOf } from "./values.ts";

/** What must be known of a model before its first use: its licence, and how to get one where there is none. */
function ChosenModel({ text, required }: { text: string; required: boolean }) {
  const fitting = modelsFor(engine.value?.name ?? "", models.value);
  const model = fitting.find(({ name }) => JSON.stringify(name) === text);
  if (models.value !== null && fitting.length === 0 && required)
    return (
      <p class="message warn">
        This server has no model for this engine yet. <a href="#/models">All models</a>
      </p>
    );
  if (!model || model.licence_accepted) return null;
  return (
    <div class="message warn" id="licence">
      <p>This model may be used once its licence is accepted:</p>
      <Licence model={model} />
    </div>
  );
}

/** The form of the chosen engine, made from the schema of its parameters. */
export function Parameters() {
  const chosen = engine.value;
  if (!chosen || fields.value.length === 0) return null;
  const changed = changedFields(fields.value, texts.value);
  return (
    <section class="step" aria-labelledby="settings-title">
      <div class="step-head">
        <h3 id="settings-title">Settings</h3>
        {changed.length > 0 ? (
          <button id="reset" type="button" class="quiet" onClick={resetTexts}>
            Reset to defaults
          </button>
        ) : (
          <span class="secondary">The defaults suit most tomograms.</span>
        )}
      </div>
      <div class="fields" id="parameters-form">
        {fields.value.map((field) => {
          const text = texts.value[field.name] ?? "";
          return (
            <Fragment key={`${chosen.name} ${field.name}`}>
              <Control
                field={field}
                text={text}
                problem={problemOf(field, text) || printable(refused.value?.params[field.name] ?? "")}
                onText={(entered) => setText(field.name, entered)}
              />
              {field.fromModels && <ChosenModel text={text} required={field.required} />}
            </Fragment>
          );
        })}
      </div>
    </section>
  );
}
