import { listHref, route } from "./route.ts";
import { access, health, locked, readiness, signOut } from "./store.ts";
import { printable } from "./text.ts";

export function Header() {
  const { page } = route.value;
  const allowed = access.value === "allowed";
  return (
    <header class="top">
      <a class="brand" href={listHref()}>
        <h1>CryoMamba</h1>
      </a>
      {allowed && (
        <nav class="pages" aria-label="Pages">
          <Link href={listHref()} current={page === "jobs" || page === "job"}>
            Jobs
          </Link>
          <Link href="#/models" current={page === "models"}>
            Models
          </Link>
          <Link href="#/server" current={page === "server"}>
            Server
          </Link>
        </nav>
      )}
      <a class="vitals" id="readiness" href={allowed ? "#/server" : "/v1/readyz"} data-up={health.value !== null}>
        {printable(readiness.value)}
      </a>
      <nav class="more" aria-label="More">
        <a href="/docs">API</a>
        {allowed && locked.value && (
          <button id="sign-out" type="button" class="quiet" onClick={() => void signOut()}>
            Sign out
          </button>
        )}
        {allowed && (
          <a id="new-job" class="button primary" href="#/new" aria-current={page === "new" ? "page" : undefined}>
            New job
          </a>
        )}
      </nav>
    </header>
  );
}

function Link({ href, current, children }: { href: string; current: boolean; children: string }) {
  return (
    <a href={href} aria-current={current ? "page" : undefined}>
      {children}
    </a>
  );
}
