import { effect } from "@preact/signals";
import { render } from "preact";
import { App } from "./app/app.tsx";
import { followAddress, go, route } from "./app/route.ts";
import { followTitle } from "./app/title.ts";
import { access, load, onSignedOut, start } from "./app/store.ts";
import { acceptDrops, addFiles, fileProblems } from "./new/add-files.ts";
import { addUploaded, clearDraft, keepDraft } from "./new/draft.ts";
import { followNewest } from "./jobs/listing.ts";
import { adding, chooseModel, isAdding } from "./models/adding.ts";
import { followModels, isAdministrator } from "./models/list.ts";
import { painting } from "./paint/kept.ts";
import { followServer } from "./server/info.ts";
import { dropUploads, isUploading, restore } from "./upload/queue.ts";
import { forgetAllUploads } from "./upload/saved.ts";

followAddress();
keepDraft(sessionStorage);
painting.keepIn(sessionStorage);
onSignedOut((ending) => {
  clearDraft();
  fileProblems.value = [];
  dropUploads();
  if (ending === "signed out") forgetAllUploads(localStorage);
});
start();
followServer();
followModels();
followTitle();
acceptDrops((files) => {
  if (access.value !== "allowed") return;
  const [first] = files;
  if (route.value.page === "models" && isAdministrator.value && first) {
    chooseModel(first);
    return;
  }
  go("#/new");
  addFiles(files);
});
followNewest();
effect(() => {
  if (access.value !== "allowed") return;
  void restore().then((found) => {
    for (const queued of found) addUploaded(queued, "");
  });
});
// Other tabs and programs may have deleted jobs meanwhile.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && access.value === "allowed") void load();
});
// The browser asks before it closes a page whose files are still being sent.
addEventListener("beforeunload", (event) => {
  if (isUploading.value || (adding.value && isAdding(adding.value))) event.preventDefault();
});

const root = document.getElementById("app")!;
root.replaceChildren();
render(<App />, root);
