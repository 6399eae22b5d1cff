import type { TrainedModel } from "../api/types.ts";
import { printable } from "../app/text.ts";
import { accept, accepting } from "./list.ts";

/** The licence of a model, and a button that accepts it before the first use. */
export function Licence({ model }: { model: TrainedModel }) {
  if (!model.licence) return <span class="secondary">Not stated</span>;
  if (model.licence_accepted) return <span>{printable(model.licence)}</span>;
  const busy = accepting.value.has(model.name);
  return (
    <span class="licence">
      <span>{printable(model.licence)}</span>
      <button
        type="button"
        disabled={busy}
        aria-label={busy ? undefined : printable(`Accept licence of ${model.name}: ${model.licence}`)}
        onClick={() => void accept(model)}
      >
        {busy ? "Accepting …" : "Accept licence"}
      </button>
    </span>
  );
}
