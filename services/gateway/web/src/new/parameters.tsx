import { printable } from "../app/text.ts";
import { engine, fields, refused, resetTexts, setText, texts } from "./draft.ts";
import { Control } from "./field.tsx";
import { changedFields, problemOf } from "./values.ts";

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
            <Control
              key={`${chosen.name} ${field.name}`}
              field={field}
              text={text}
              problem={problemOf(field, text) || printable(refused.value?.params[field.name] ?? "")}
              onText={(entered) => setText(field.name, entered)}
            />
          );
        })}
      </div>
    </section>
  );
}
