// The labels of the mask: colour, name, and whether they are shown.

import { useEffect } from "preact/hooks";
import { frameLabels } from "../api/frames.ts";
import { printable } from "../app/text.ts";
import { PREVIEW } from "./layers.ts";
import type { ViewerModel } from "./model.ts";
import { countLabels } from "./overlay.ts";
import { fromHex, toHex } from "./palette.ts";
import { chunkKey } from "./zarr.ts";

const MOST = 24;

export function LabelList({ model }: { model: ViewerModel }) {
  const labels = model.threshold.value === null ? labelsOf(model) : [1];
  const key = coarseKey(model);
  // Sections need this chunk only when they are small.
  useEffect(() => {
    const owner = {};
    model.store.want(owner, key === null ? [] : [key]);
    return () => model.store.want(owner, []);
  }, [model, key]);
  if (labels.length === 0) return null;
  const shown = labels.slice(0, MOST);
  return (
    <ul class="label-list" aria-label="Labels">
      {shown.map((label) => <Label key={label} model={model} label={label} />)}
      {labels.length > MOST && <li class="hint">{`and ${labels.length - MOST} more`}</li>}
    </ul>
  );
}

function Label({ model, label }: { model: ViewerModel; label: number }) {
  const look = model.look(label);
  const name = printable(model.names.value.get(label) ?? `Label ${label}`);
  return (
    <li>
      <input
        type="color"
        aria-label={`Colour of ${name}`}
        value={toHex(look.colour)}
        onInput={(event) => model.setLook(label, { ...look, colour: fromHex(event.currentTarget.value) })}
      />
      <label>
        <span>{name}</span>
        <input
          type="checkbox"
          aria-label={`Show ${name}`}
          checked={!look.hidden}
          onChange={(event) => model.setLook(label, { ...look, hidden: !event.currentTarget.checked })}
        />
      </label>
    </li>
  );
}

/** Labels that the shown mask has: those with names, and for other layers those that a coarse level has. */
function labelsOf(model: ViewerModel): number[] {
  const layer = model.layer.value;
  const named = [...model.names.value.keys()];
  if (named.length > 0 && /^(labels\/mask(_r\d+)?|preview)$/.test(layer)) return named.sort((one, other) => one - other);
  if (layer === PREVIEW && model.frame.value) return byCount(countLabels(frameLabels(model.frame.value)));
  void model.arrivals.value;
  const key = coarseKey(model);
  const chunk = key === null ? undefined : model.store.get(key);
  return chunk ? byCount(countLabels(chunk)) : [];
}

/** The first chunk of the coarsest level of the mask that is shown: mostly all of it. */
function coarseKey(model: ViewerModel): string | null {
  const coarse = model.images.value.get(model.layer.value)?.levels.at(-1);
  return coarse ? chunkKey(coarse, [0, 0, 0]) : null;
}

function byCount(counts: Map<number, number>): number[] {
  return [...counts].sort((one, other) => other[1] - one[1]).map(([label]) => label);
}
