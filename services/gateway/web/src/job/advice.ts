// What the visitor of the page can do about an error. The server's own hints speak to whoever uses the command line or
// runs the server; where they do, the page has its own.

const ASK = "Tell whoever runs this server";

const ADVICE: Readonly<Record<string, string>> = {
  path_forbidden: "Add the file here instead, or ask whoever runs this server which folders it can read.",
  volume_not_found:
    "Check that the file is there and that the path is right. It is a path on the server, not on your computer.",
  volume_unreadable: "Open it in another program, such as IMOD, to see whether it is whole; then add it again.",
  volume_unsupported: "Convert it to 8-bit, 16-bit or 32-bit real density, for example with IMOD's newstack.",
  volume_not_finite: "Replace these voxels, for example with the mean density, and add the file again.",
  volume_changed: "Submit it again once the file is no longer written to.",
  model_changed: "Submit it again to use the model as it is now.",
  unknown_engine: "Choose one of the engines that are shown.",
  engine_unavailable: `Choose another engine, or tell whoever runs this server.`,
  invalid_parameters: "Correct what is marked.",
  bad_request: "Correct what is marked.",
  no_worker: `${ASK} that no worker is connected.`,
  unavailable: "Nothing is lost. The page tries again by itself.",
  timeout: "Try again in a minute.",
  rate_limited: "Wait a minute, then try again.",
  insufficient_storage: `${ASK} that its disk is full, or delete jobs that you no longer need.`,
  store_damaged: `${ASK} that its job store is damaged.`,
  worker_lost: `Try again. If it fails again, the tomogram may need more memory than the server has: ${lower(ASK)}.`,
  out_of_memory: `Try a binned tomogram, or ${lower(ASK)}: the worker needs more memory.`,
  engine_failed: `Try again with other parameters. If it fails again, ${lower(ASK)} the number of this job.`,
  internal: `This is a defect of CryoMamba. ${ASK} the number of this job.`,
  unauthorized: "Sign in again.",
  forbidden: "Ask whoever runs this server for a token that allows it.",
};

/** What to do about an error, by its code; the server's hint where the page knows nothing better. */
export function advice({ code, hint }: { code: string; hint: string }): string {
  return ADVICE[code] ?? hint;
}

const OPERATOR = new Set([
  "no_worker",
  "insufficient_storage",
  "store_damaged",
  "worker_lost",
  "out_of_memory",
  "engine_failed",
  "internal",
]);

/** Whether the server's hint is for whoever runs it. */
export function concernsOperator({ code }: { code: string }): boolean {
  return OPERATOR.has(code);
}

function lower(text: string): string {
  return text[0]!.toLowerCase() + text.slice(1);
}
