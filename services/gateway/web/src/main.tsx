import { render } from "preact";
import { App } from "./app/app.tsx";
import { followAddress } from "./app/route.ts";
import { start } from "./app/store.ts";

followAddress();
start();
const root = document.getElementById("app")!;
root.replaceChildren();
render(<App />, root);
