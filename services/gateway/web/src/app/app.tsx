import { JobPanel } from "../job/panel.tsx";
import { JobTable } from "../jobs/table.tsx";
import { NewJob } from "../new/page.tsx";
import { Header } from "./header.tsx";
import { route } from "./route.ts";
import { SignIn } from "./sign-in.tsx";
import { access, notice } from "./store.ts";
import { printable } from "./text.ts";

export function App() {
  return (
    <>
      <Header />
      <main>
        <p id="notice" role="status">{printable(notice.value)}</p>
        {access.value === "signed-out" && <SignIn />}
        {access.value === "allowed" && <Content />}
      </main>
    </>
  );
}

function Content() {
  const shown = route.value;
  return (
    <div id="content">
      {shown.page === "new" ? <NewJob /> : <JobTable />}
      {shown.page === "job" && <JobPanel key={shown.jobId} jobId={shown.jobId} />}
    </div>
  );
}
