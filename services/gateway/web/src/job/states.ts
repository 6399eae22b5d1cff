// The state of a job in words.

import type { Job, JobEvent, JobState } from "../api/types.ts";
import { duration, percent, timeLeft } from "../format/numbers.ts";

export const STATE_WORDS: Readonly<Record<JobState, string>> = {
  pending: "Waiting",
  running: "Running",
  completed: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};

export interface Situation {
  /** One or two words. */
  word: string;
  /** A sentence on what happens now; empty if the word says it all. */
  sentence: string;
  /** 0 to 1; null while nothing is computed. */
  fraction: number | null;
}

/** `workers` is how many are connected; null while that is not known. */
export function situation(job: Job, workers: number | null = null): Situation {
  const word = STATE_WORDS[job.state];
  switch (job.state) {
    case "pending":
      return { word, sentence: pendingSentence(job, workers), fraction: null };
    case "running":
      return running(job);
    default:
      return { word, sentence: endedSentence(job), fraction: job.state === "completed" ? 1 : null };
  }
}

function pendingSentence(job: Job, workers: number | null): string {
  if (workers === 0) return "No worker is connected. The job starts as soon as one is.";
  if (job.blocked_reason) return job.blocked_reason;
  const again = job.attempt > 0 ? "It was interrupted and is waiting to run again. " : "";
  if (job.queue_position === null) return `${again}Waiting for a free worker.`;
  const ahead = job.queue_position - 1;
  if (ahead === 0) return `${again}Next in the queue.`;
  return `${again}${ahead === 1 ? "One job is" : `${ahead} jobs are`} before it.`;
}

function running(job: Job): Situation {
  const { fraction, stage, eta_s: eta } = job.progress;
  if (job.cancel_requested)
    return { word: "Stopping", sentence: "It ends after the part that is being computed.", fraction };
  const name = stageName(stage);
  if (fraction >= 1) return { word: "Finishing", sentence: name, fraction };
  return { word: "Running", sentence: [name, timeLeft(eta)].filter(Boolean).join(" · "), fraction };
}

function stageName(stage: string): string {
  return stage ? stage[0]!.toUpperCase() + stage.slice(1) : "Starting";
}

function endedSentence(job: Job): string {
  const seconds = computingSeconds(job);
  const took = seconds === null ? "" : seconds < 1 ? "less than 1 s" : duration(seconds);
  if (job.state === "completed") return took && `Computed in ${took}`;
  if (job.state === "cancelled") return took && `Stopped after ${took}`;
  return job.errors.at(-1)?.message ?? "";
}

/** How long a job has computed; null if it never started. Of a running job, until its last change. */
export function computingSeconds(job: Job): number | null {
  if (job.started_at === null) return null;
  const end = job.completed_at ?? job.updated_at;
  return Math.max(0, (Date.parse(end) - Date.parse(job.started_at)) / 1000);
}

/** Progress in a few characters, for a row of the list. */
export function progressText(job: Job): string {
  if (job.state !== "running") return "";
  return [percent(Math.floor(100 * job.progress.fraction) / 100), timeLeft(job.progress.eta_s)]
    .filter(Boolean)
    .join(" · ");
}

const PRIORITY_WORDS: Readonly<Record<number, string>> = { [-1]: "low", 0: "", 1: "high" };

/** A priority that is not that of most jobs, in words. */
export function priorityText(priority: number): string {
  const word = PRIORITY_WORDS[priority] ?? String(priority);
  return word && `${word} priority`;
}

const EVENT_WORDS: Readonly<Record<string, string>> = {
  job_created: "Submitted",
  job_started: "Started",
  job_requeued: "Interrupted and queued again",
  job_cancel_requested: "Cancelling",
  job_retried: "Queued again",
  job_completed: "Done",
  job_failed: "Failed",
  job_cancelled: "Cancelled",
  job_revised: "Corrected mask added",
};

export function eventText({ type, reason, attempt }: JobEvent): string {
  const word = EVENT_WORDS[type] ?? type.replace(/^job_/, "").replaceAll("_", " ");
  const number = type === "job_started" && attempt > 1 ? ` (attempt ${attempt})` : "";
  return reason ? `${word}${number}: ${reason}` : `${word}${number}`;
}
