import { useEffect, useRef } from "preact/hooks";
import { JobPage } from "../job/page.tsx";
import { JobList } from "../jobs/list.tsx";
import { ModelsPage } from "../models/page.tsx";
import { NewJob } from "../new/page.tsx";
import { ServerPage } from "../server/page.tsx";
import { UploadTray } from "../upload/tray.tsx";
import { Header } from "./header.tsx";
import { route } from "./route.ts";
import { SignIn } from "./sign-in.tsx";
import { access, notice } from "./store.ts";
import { printable } from "./text.ts";

export function App() {
  return (
    <>
      <a class="skip" href="#content" onClick={skip}>
        Skip to the content
      </a>
      <Header />
      <main>
        <p id="notice" role="status">
          {printable(notice.value)}
        </p>
        {access.value === "signed-out" && <SignIn />}
        {access.value === "allowed" && <Content />}
      </main>
    </>
  );
}

function Content() {
  const shown = route.value;
  const content = useRef<HTMLDivElement>(null);
  // What had the keyboard is often gone with its page; the new one may already have given it to something else.
  useEffect(() => {
    if (document.activeElement === document.body) content.current?.focus({ preventScroll: true });
  }, [shown.page]);
  return (
    <div id="content" ref={content} tabIndex={-1}>
      {shown.page !== "new" && <UploadTray />}
      {shown.page === "new" && <NewJob />}
      {shown.page === "models" && <ModelsPage />}
      {shown.page === "server" && <ServerPage />}
      {shown.page === "jobs" && <JobList query={shown.query} />}
      {shown.page === "job" && <JobPage key={shown.jobId} jobId={shown.jobId} />}
    </div>
  );
}

// A fragment of its own would be taken for the address of a page.
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("content")?.focus();
}
