import { useRef } from "preact/hooks";
import { signIn } from "./store.ts";

export function SignIn() {
  const field = useRef<HTMLInputElement>(null);
  const submit = (event: Event) => {
    event.preventDefault();
    const token = field.current!.value.trim();
    field.current!.value = "";
    void signIn(token);
  };
  return (
    <form id="sign-in" class="card narrow" onSubmit={submit}>
      <h2>Sign in</h2>
      <p>This server requires a token. You get one from whoever runs it.</p>
      <label>
        Token
        <input id="token" ref={field} type="password" autocomplete="off" spellcheck={false} required />
      </label>
      <button class="primary">Sign in</button>
      <p class="secondary">
        The token is stored in a cookie that no script can read, until you sign out or close the browser.
      </p>
    </form>
  );
}
