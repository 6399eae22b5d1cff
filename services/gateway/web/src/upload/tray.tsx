import { printable } from "../app/text.ts";
import { formProblem } from "../new/draft.ts";
import { orders } from "../new/orders.ts";
import { UploadProgress } from "./progress.tsx";
import { remove, uploads } from "./queue.ts";

/** Uploads that go on, or were interrupted, on the other pages. */
export function UploadTray() {
  const open = uploads.value.filter(({ snapshot }) => snapshot.phase !== "done");
  if (open.length === 0 && formProblem.value === "") return null;
  const ordered = new Set(orders.value.filter(({ state }) => state === "uploading").map(({ uploadKey }) => uploadKey));
  return (
    <section class="card tray" aria-labelledby="tray-title" id="uploads">
      <h3 id="tray-title">New job</h3>
      {formProblem.value && <p class="problem">{printable(formProblem.value)}</p>}
      <ul>
        {open.map((queued) => (
          <li key={queued.key}>
            <span class="volume-name">{printable(queued.upload.identity.name)}</span>
            {ordered.has(queued.key) && <span class="secondary">Its job starts when it is uploaded.</span>}
            <UploadProgress queued={queued}>
              <button type="button" class="quiet" onClick={() => remove(queued.key)}>
                Discard
              </button>
            </UploadProgress>
          </li>
        ))}
      </ul>
      <a href="#/new">Open the form</a>
    </section>
  );
}
