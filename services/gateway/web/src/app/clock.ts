// The time, for texts such as "3 min ago".

import { signal } from "@preact/signals";

const TICK_MS = 20_000;

export const now = signal(Date.now());

setInterval(() => {
  now.value = Date.now();
}, TICK_MS);
