// The trained models of the server.

import { effect, signal } from "@preact/signals";
import { acceptLicence, getSession, listModels } from "../api/client.ts";
import { ApiError, errorText } from "../api/errors.ts";
import type { TrainedModel } from "../api/types.ts";
import { route } from "../app/route.ts";
import { access, onSignedOut } from "../app/store.ts";

const REFRESH_MS = 15_000;

/** By name; null until they are known. */
export const models = signal<readonly TrainedModel[] | null>(null);
export const modelsProblem = signal("");
/** Whether the visitor may add and remove models, and decide which workers take jobs. */
export const isAdministrator = signal(false);
/** Names of the models whose licence is being accepted. */
export const accepting = signal<ReadonlySet<string>>(new Set());

/** The models that an engine runs. */
export function modelsFor(engine: string, known: readonly TrainedModel[] | null): readonly TrainedModel[] {
  return (known ?? []).filter(({ kind }) => kind === engine);
}

export async function refreshModels(): Promise<void> {
  try {
    models.value = await listModels();
    modelsProblem.value = "";
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401)) modelsProblem.value = errorText(error);
  }
}

async function refreshSession(): Promise<void> {
  try {
    isAdministrator.value = (await getSession()).scopes.includes("admin");
  } catch {
    // Without an answer, as somebody who may not; the next visit asks again.
  }
}

/** Accept the licence of a model as it is shown, once for the whole server. */
export async function accept({ name, licence }: TrainedModel): Promise<void> {
  accepting.value = new Set([...accepting.value, name]);
  try {
    await acceptLicence(name, licence);
    await refreshModels();
  } catch (error) {
    modelsProblem.value = errorText(error);
  } finally {
    accepting.value = new Set([...accepting.value].filter((one) => one !== name));
  }
}

/** Keep the models up to date on the pages that show them. */
export function followModels(): void {
  const shown = () => access.value === "allowed" && ["models", "new"].includes(route.value.page);
  effect(() => {
    if (shown()) void refreshModels();
  });
  effect(() => {
    if (access.value === "allowed") void refreshSession();
  });
  setInterval(() => {
    if (shown() && document.visibilityState === "visible") void refreshModels();
  }, REFRESH_MS);
  onSignedOut(() => {
    models.value = null;
    isAdministrator.value = false;
  });
}
