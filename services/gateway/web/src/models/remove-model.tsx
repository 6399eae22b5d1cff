import { useRef, useState } from "preact/hooks";
import { removeModel } from "../api/client.ts";
import { errorText } from "../api/errors.ts";
import { printable } from "../app/text.ts";
import { refreshModels } from "./list.ts";

/** Removes a model from the server, after a question. */
export function RemoveModel({ name }: { name: string }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const remove = async () => {
    dialog.current?.close();
    setBusy(true);
    setProblem("");
    try {
      await removeModel(name);
      await refreshModels();
      // The button goes with the model.
      document.getElementById("content")?.focus({ preventScroll: true });
    } catch (error) {
      setProblem(errorText(error));
    }
    setBusy(false);
  };
  return (
    <div class="remove-model">
      <button
        type="button"
        class="quiet"
        disabled={busy}
        aria-label={printable(`Remove the model ${name}`)}
        onClick={() => dialog.current?.showModal()}
      >
        {busy ? "Removing …" : "Remove …"}
      </button>
      {problem && (
        <p class="problem" role="alert">
          {printable(problem)}
        </p>
      )}
      <dialog ref={dialog} aria-label={printable(`Remove the model ${name}?`)}>
        <h3>Remove this model?</h3>
        <p>{printable(`Nobody can use ${name} on this server any more. Masks that were made with it stay.`)}</p>
        <div class="actions">
          <button type="button" class="danger confirm-remove" onClick={() => void remove()}>
            Remove
          </button>
          <button type="button" autofocus onClick={() => dialog.current?.close()}>
            Keep it
          </button>
        </div>
      </dialog>
    </div>
  );
}
