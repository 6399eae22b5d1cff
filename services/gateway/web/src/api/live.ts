// One WebSocket for the whole page: states and progress of all jobs, and the preview frames of those that are open.

import { Backoff } from "./backoff.ts";
import { type Frame, decodeFrame, parseFrame } from "./frames.ts";
import type { Job, Progress } from "./types.ts";

const SUBPROTOCOL = "cryomamba.frames.v1";
const NOT_ALLOWED = 1008;
const TRY_LATER = 1013;
const ALL = "*";

export interface LiveHandlers {
  /** The record of a job is there, or has changed. */
  onJob(job: Job): void;
  onProgress(jobId: string, progress: Progress): void;
  /** What the reader should know about the connection; empty when all is well. */
  onNotice(text: string): void;
  /** Events may be missing: list the jobs again. */
  onRestart(): void;
  /** The server does not let this page in; nothing more is tried until `start`. */
  onRefused(reason: string): void;
}

type FrameListener = (frame: Frame) => void;

interface Message {
  type: string;
  job_id: string | null;
  seq: number;
  data: unknown;
}

export class LiveConnection {
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private stopped = true;
  /** Number of the newest event; after a disconnect, events after it are sent first. */
  private since: number | null = null;
  /** That of the server's start in which it got that number: in another one it may be another event's. */
  private epoch: number | null = null;
  private readonly backoff = new Backoff(500, 10_000);
  private readonly listeners = new Map<string, Set<FrameListener>>();
  private readonly frames = new Map<string, Frame>();

  constructor(
    private readonly handlers: LiveHandlers,
    private readonly url: string = liveUrl(location),
  ) {}

  start(): void {
    this.stopped = false;
    if (this.socket === null) this.connect();
  }

  /** Close the connection and forget what was received. */
  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.since = null;
    this.frames.clear();
    this.socket?.close();
    this.socket = null;
  }

  /** Call a function with each new preview of a job, first with the newest; the returned function ends that. */
  followFrames(jobId: string, listener: FrameListener): () => void {
    const found = this.listeners.get(jobId) ?? new Set();
    this.listeners.set(jobId, found.add(listener));
    const known = this.frames.get(jobId);
    if (known) listener(known);
    if (found.size === 1) this.send({ type: "subscribe", job_id: jobId });
    return () => {
      found.delete(listener);
      if (found.size > 0) return;
      this.listeners.delete(jobId);
      this.frames.delete(jobId);
      this.send({ type: "unsubscribe", job_id: jobId });
    };
  }

  /** Follow a job again that was final and is not any more. */
  refollow(jobId: string): void {
    if (this.listeners.has(jobId)) this.send({ type: "subscribe", job_id: jobId });
  }

  private connect(): void {
    const socket = new WebSocket(this.url, SUBPROTOCOL);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.send({ type: "subscribe", job_id: ALL, ...(this.since === null ? {} : { since: this.since, epoch: this.epoch }) });
      for (const jobId of this.listeners.keys()) this.send({ type: "subscribe", job_id: jobId });
    };
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (typeof data === "string") this.handleMessage(JSON.parse(data) as Message);
      else void this.handleFrame(socket, data);
    };
    socket.onclose = ({ code, reason }) => {
      if (this.socket === socket) this.handleClose(code, reason);
    };
  }

  private handleClose(code: number, reason: string): void {
    this.socket = null;
    if (this.stopped) return;
    if (code === NOT_ALLOWED) {
      this.stopped = true;
      this.handlers.onRefused(reason);
      return;
    }
    this.handlers.onNotice(
      code === TRY_LATER && reason
        ? `This page gets no live updates: ${uncapitalized(reason)} Close another tab with this page; this one tries again by itself.`
        : "The connection to the server was lost. Trying again.",
    );
    this.timer = setTimeout(() => this.connect(), this.backoff.wait());
  }

  private handleMessage({ type, job_id: jobId, seq, data }: Message): void {
    this.backoff.reset();
    if (type === "subscribed") {
      this.since = seq;
      this.epoch = (data as { epoch: number }).epoch;
      this.handlers.onNotice("");
    } else if (type === "progress" && jobId) {
      this.handlers.onProgress(jobId, data as Progress);
    } else if (type === "connected") {
      this.handlers.onJob(data as Job);
    } else if (type.startsWith("job_")) {
      if (this.since !== null) this.since = Math.max(this.since, seq);
      this.handlers.onJob(data as Job);
    } else if (type === "link") {
      const { status, message } = data as { status: string; message: string };
      this.handlers.onNotice(status === "lost" ? message : "");
    } else if (type === "error") {
      this.handleError(jobId, data as { message: string; hint?: string });
    }
  }

  private handleError(jobId: string | null, { message, hint }: { message: string; hint?: string }): void {
    if (jobId === ALL) {
      this.since = null;
      this.handlers.onRestart();
    } else {
      this.handlers.onNotice([message, hint].filter(Boolean).join(" "));
    }
  }

  private async handleFrame(socket: WebSocket, message: ArrayBuffer): Promise<void> {
    const frame = await decodeFrame(parseFrame(message));
    // Credit for the next one goes back on the connection that this one came on.
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "ack", seq: frame.seq }));
    const listeners = this.listeners.get(frame.job_id);
    if (!listeners) return;
    this.frames.set(frame.job_id, frame);
    for (const listener of listeners) listener(frame);
  }

  private send(message: object): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}

function uncapitalized(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1);
}

/** Where the WebSocket of a page's own gateway is. */
export function liveUrl({ protocol, host }: { protocol: string; host: string }): string {
  return `${protocol === "https:" ? "wss" : "ws"}://${host}/v1/ws`;
}
