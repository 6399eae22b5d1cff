import { access, health, locked, readiness, signOut } from "./store.ts";
import { duration, printable } from "./text.ts";

export function Header() {
  const { version, uptime_s: uptime } = health.value ?? {};
  return (
    <header class="top">
      <a class="brand" href="#/">
        <h1>CryoMamba</h1>
        <span id="version" class="secondary">{version ? printable(version) : ""}</span>
      </a>
      <dl class="vitals">
        <div><dt>Server</dt><dd id="health">{uptime === undefined ? "–" : `Running for ${duration(uptime)}`}</dd></div>
        <div><dt>Workers</dt><dd id="readiness">{printable(readiness.value)}</dd></div>
      </dl>
      <nav aria-label="Documentation">
        <a href="/docs">API reference</a>
        {access.value === "allowed" && locked.value && (
          <button id="sign-out" type="button" class="quiet" onClick={() => void signOut()}>Sign out</button>
        )}
      </nav>
    </header>
  );
}
