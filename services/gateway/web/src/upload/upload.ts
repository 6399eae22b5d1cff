// One file on its way to the server, in parts: with pauses, lost connections, and a page that was loaded again.

import type { FileRecord, UploadStatus } from "../api/types.ts";
import { PartPlan } from "./parts.ts";
import { SpeedMeter } from "./speed.ts";

/** What a request could not do, as the server or the network reports it. */
export interface Failure {
  status: number;
  code: string;
  message: string;
  hint: string;
  /** Whether the same request may succeed later. */
  retryable: boolean;
  retryAfterMs?: number;
}

/** How a file is sent, and what becomes of it on the server. */
export interface Transport<Made = FileRecord> {
  begin(name: string, size: number): Promise<UploadStatus>;
  status(uploadId: string): Promise<UploadStatus>;
  put(uploadId: string, index: number, part: Blob, onSent: (bytes: number) => void, signal: AbortSignal): Promise<void>;
  /** Use an upload whose parts are all there. */
  complete(uploadId: string): Promise<Made>;
  /** What was made of an upload before, if anything. */
  made(status: UploadStatus): Made | undefined;
  abort(uploadId: string): Promise<void>;
  /** Describe what a request has thrown. */
  failure(thrown: unknown): Failure;
  /** Wait; ends at once when the signal is aborted. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
  now(): number;
}

/** What identifies a file on this computer without reading it. */
export interface FileIdentity {
  name: string;
  size: number;
  lastModified: number;
}

export type Phase =
  | "waiting" // for other uploads
  | "sending"
  | "checking" // the server assembles and opens the file
  | "paused"
  | "unreachable" // tried again by itself
  | "needs-file" // the page was loaded again: the visitor chooses the file once more
  | "failed"
  | "done";

export interface Snapshot<Made = FileRecord> {
  phase: Phase;
  sentBytes: number;
  totalBytes: number;
  speed?: number;
  secondsLeft?: number;
  problem?: Failure;
  record?: Made;
}

export const PARALLEL_PARTS = 3;
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 10_000;
const COMPLETE_TRIES = 3;
const CONFLICT = 409;
const NOT_FOUND = 404;

/** The file that was chosen to resume an upload is another one. */
class OtherFileError extends Error {
  readonly failure: Failure = {
    status: CONFLICT,
    code: "conflict",
    message: "This is not the file whose upload was interrupted: its content differs.",
    hint: "Remove this upload and add the file anew.",
    retryable: false,
  };
}

export class Upload<Made = FileRecord> {
  phase: Phase;
  uploadId: string;
  record: Made | undefined;
  problem: Failure | undefined;
  private plan: PartPlan | undefined;
  private readonly meter = new SpeedMeter();
  private stopper = new AbortController();
  private verified: boolean;

  constructor(
    readonly identity: FileIdentity,
    private file: Blob | undefined,
    private readonly transport: Transport<Made>,
    private readonly onChange: (upload: Upload<Made>) => void,
    resumed?: UploadStatus,
  ) {
    this.uploadId = resumed?.upload_id ?? "";
    this.plan = resumed && PartPlan.of(resumed);
    this.record = resumed && transport.made(resumed);
    this.phase = this.record ? "done" : file ? "waiting" : "needs-file";
    this.verified = resumed === undefined;
  }

  get snapshot(): Snapshot<Made> {
    const sentBytes = this.record ? this.identity.size : (this.plan?.sentBytes ?? 0);
    const speed = this.phase === "sending" ? this.meter.speed : undefined;
    const secondsLeft = speed === undefined ? undefined : this.meter.secondsLeft(this.identity.size);
    return {
      phase: this.phase,
      sentBytes,
      totalBytes: this.identity.size,
      ...(speed !== undefined && { speed }),
      ...(secondsLeft !== undefined && { secondsLeft }),
      ...(this.problem && { problem: this.problem }),
      ...(this.record && { record: this.record }),
    };
  }

  get ended(): boolean {
    return this.phase === "done" || this.phase === "failed";
  }

  /** Whether a file may be the one whose upload was interrupted; its content is compared when it is sent. */
  matches(file: FileIdentity): boolean {
    const { name, size, lastModified } = this.identity;
    return file.name === name && file.size === size && file.lastModified === lastModified;
  }

  /** The visitor has chosen the file once more. */
  give(file: Blob): void {
    this.file = file;
    this.enter("waiting");
  }

  /** Wait for its turn to go on. */
  queue(): void {
    if (this.phase !== "done") this.enter(this.file ? "waiting" : "needs-file");
  }

  pause(): void {
    if (this.ended || this.phase === "checking") return;
    this.stopper.abort();
    this.enter("paused");
  }

  /** Send what is missing, until it is there, paused, or failed. */
  async run(): Promise<void> {
    const { file } = this;
    if (!file || this.phase === "done") return;
    this.stopper.abort();
    this.stopper = new AbortController();
    const { signal } = this.stopper;
    this.problem = undefined;
    this.enter("sending");
    try {
      await this.send(file, signal);
    } catch (thrown) {
      if (signal.aborted) return;
      // The other parts would go on, for nothing.
      this.stopper.abort();
      this.problem = thrown instanceof OtherFileError ? thrown.failure : this.transport.failure(thrown);
      this.enter("failed");
    }
  }

  /** Remove it here and on the server. */
  async remove(): Promise<void> {
    this.stopper.abort();
    // An upload that stays on the server for want of a connection expires there.
    if (this.uploadId && !this.record) await this.transport.abort(this.uploadId).catch(() => undefined);
  }

  private async send(file: Blob, signal: AbortSignal): Promise<void> {
    for (let tries = 0; ; tries++) {
      const plan = await this.planned(signal);
      if (this.record) return this.enter("done");
      if (!this.verified) await this.verify(file, plan, signal);
      await Promise.all(Array.from({ length: PARALLEL_PARTS }, () => this.sendParts(file, plan, signal)));
      this.enter("checking");
      try {
        this.record = await this.retried(() => this.transport.complete(this.uploadId), signal, "checking");
        return this.enter("done");
      } catch (thrown) {
        // Parts that were damaged on their way are missing again.
        if (this.transport.failure(thrown).status !== CONFLICT || tries + 1 >= COMPLETE_TRIES) throw thrown;
        this.enter("sending");
      }
    }
  }

  private async planned(signal: AbortSignal): Promise<PartPlan> {
    const status = await this.retried(() => this.begunOrResumed(), signal);
    this.uploadId = status.upload_id;
    this.record = this.transport.made(status);
    this.plan = PartPlan.of(status);
    this.onChange(this);
    return this.plan;
  }

  private async begunOrResumed(): Promise<UploadStatus> {
    if (this.uploadId) {
      try {
        return await this.transport.status(this.uploadId);
      } catch (thrown) {
        if (this.transport.failure(thrown).status !== NOT_FOUND) throw thrown;
        // It has expired: the file is sent from the beginning.
        this.verified = true;
      }
    }
    return this.transport.begin(this.identity.name, this.identity.size);
  }

  /** Send parts that the server has: it accepts the same bytes again and refuses others. */
  private async verify(file: Blob, plan: PartPlan, signal: AbortSignal): Promise<void> {
    for (const index of plan.samples) {
      const part = file.slice(...plan.range(index));
      try {
        await this.retried(() => this.transport.put(this.uploadId, index, part, () => undefined, signal), signal);
      } catch (thrown) {
        throw this.transport.failure(thrown).status === CONFLICT ? new OtherFileError() : thrown;
      }
    }
    this.verified = true;
  }

  private async sendParts(file: Blob, plan: PartPlan, signal: AbortSignal): Promise<void> {
    for (let index = plan.take(); index !== undefined; index = plan.take()) {
      await this.sendPart(file, plan, index, signal);
    }
  }

  private async sendPart(file: Blob, plan: PartPlan, index: number, signal: AbortSignal): Promise<void> {
    const part = file.slice(...plan.range(index));
    const onSent = (bytes: number) => {
      plan.progress(index, bytes);
      this.noteProgress();
    };
    const put = async () => {
      try {
        await this.transport.put(this.uploadId, index, part, onSent, signal);
      } catch (thrown) {
        // What has left this computer has not all arrived.
        plan.progress(index, 0);
        throw thrown;
      }
    };
    try {
      await this.retried(put, signal);
    } catch (thrown) {
      plan.giveBack(index);
      throw thrown;
    }
    plan.done(index);
    this.noteProgress();
  }

  private noteProgress(): void {
    this.meter.note(this.transport.now(), this.plan?.sentBytes ?? 0);
    this.onChange(this);
  }

  private async retried<T>(request: () => Promise<T>, signal: AbortSignal, phase: Phase = "sending"): Promise<T> {
    for (let delay = RETRY_MIN_MS; ; delay = Math.min(2 * delay, RETRY_MAX_MS)) {
      try {
        const result = await request();
        if (!signal.aborted && this.phase === "unreachable") {
          this.problem = undefined;
          this.enter(phase);
        }
        return result;
      } catch (thrown) {
        const failure = this.transport.failure(thrown);
        if (signal.aborted || !failure.retryable) throw thrown;
        this.problem = failure;
        this.enter("unreachable");
        await this.transport.wait(failure.retryAfterMs ?? delay, signal);
        if (signal.aborted) throw thrown;
      }
    }
  }

  private enter(phase: Phase): void {
    this.phase = phase;
    this.onChange(this);
  }
}
