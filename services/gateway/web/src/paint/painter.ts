// What a visitor paints on the tomogram of a job, and the job that learns from it.

import { type ReadonlySignal, type Signal, computed, effect, signal } from "@preact/signals";
import { cancelJob, setFocus, setStrokes, submitJob } from "../api/client.ts";
import { ApiError, errorText } from "../api/errors.ts";
import { type Job, type Json, type Triple, isFinal } from "../api/types.ts";
import { go, jobHref } from "../app/route.ts";
import { onSignedOut, updateJob } from "../app/store.ts";
import { advice } from "../job/advice.ts";
import { randomKey } from "../new/orders.ts";
import { jobRequest, templateOf } from "../new/request.ts";
import { type Rgb, fromHex } from "../viewer/palette.ts";
import { painting } from "./kept.ts";
import {
  PIXELS,
  type StrokeLine,
  type Strokes,
  covers,
  isEnough,
  noStrokes,
  readStrokes,
  sameStrokes,
  sendable,
  simplified,
  used,
} from "./strokes.ts";

/** After a stroke, before it is sent: two strokes in a row are sent together. */
const PAUSE_MS = 300;
const CONFLICT = 409;
const NOT_FOUND = 404;
export const RADIUS_MAX = 20;

export type Tool = "brush" | "eraser";

onSignedOut(() => painting.clear());

/** Begin to paint as soon as the page of a job is shown, and cancel it once another one learns from the strokes. */
export function openToPaint(jobId: string): void {
  painting.begin(jobId);
}

/** The strokes on the tomogram of one job. */
export class Painter {
  readonly on = signal(false);
  readonly tool = signal<Tool>("brush");
  readonly label = signal(1);
  /** Of the brush, in voxels. */
  readonly radius = signal(3);
  /** Whether the job learns from each stroke at once. */
  readonly live = signal(true);
  readonly strokes: Signal<Strokes>;
  /** The line that is being drawn. */
  readonly draft = signal<StrokeLine | null>(null);
  readonly problem = signal("");
  readonly busy = signal(false);
  private readonly learned: Signal<Strokes | null>;
  private readonly done = signal<readonly Strokes[]>([]);
  private readonly undone = signal<readonly Strokes[]>([]);
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;
  private readonly stopKeeping: () => void;
  /** A job that was started while a line was being drawn. */
  private next: string | null = null;

  readonly isEnough = computed(() => isEnough(this.strokes.value));
  /** Whether the mask of the job is, or will be, that of these strokes. */
  readonly isLearned = computed(() => sameStrokes(this.strokes.value, this.learned.value));
  readonly canUndo = computed(() => this.done.value.length > 0);
  readonly canRedo = computed(() => this.undone.value.length > 0);
  /** Whether strokes are sent without being asked: to a job that learns from some already. */
  readonly follows = computed(() => this.live.value && this.learned.value !== null);

  constructor(
    private readonly job: ReadonlySignal<Job>,
    private readonly position: ReadonlySignal<Triple>,
    /** Called before the page of another job is shown. */
    private readonly onLeave: (jobId: string) => void,
  ) {
    const { job_id: jobId, engine, params, volume } = job.peek();
    const given = engine === PIXELS ? readStrokes(params.strokes as Json) : null;
    const found = painting.of(jobId);
    this.learned = signal(given);
    this.on.value = painting.isToPaintOn(jobId);
    this.strokes = signal(found?.strokes ?? given ?? noStrokes(volume.shape));
    if (found) {
      this.done.value = found.done;
      this.label.value = found.label;
      this.radius.value = found.radius;
      this.live.value = found.live;
      this.on.value = true;
      this.sendLater();
    }
    this.stopKeeping = effect(() => this.keep(jobId));
  }

  /** The colour in which a label of the job was painted. */
  colourOf(label: number): Rgb | null {
    const painted = this.learned.peek()?.labels[label];
    return painted ? fromHex(painted.colour) : null;
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.stopKeeping();
  }

  /** Keep for a job what is painted and not learned. */
  private keep(jobId: string): void {
    const done = this.done.value;
    if (done.length === 0 || (this.isLearned.value && jobId === this.job.peek().job_id)) return painting.drop(jobId);
    painting.put(jobId, {
      strokes: this.strokes.value,
      done,
      label: this.label.value,
      radius: this.radius.value,
      live: this.live.value,
    });
  }

  /** Begin a line, or erase, at a voxel; returns whether painting is on. */
  begin(voxel: Triple): boolean {
    if (!this.on.peek()) return false;
    if (this.tool.peek() === "eraser") this.eraseAt(voxel);
    else this.draft.value = { label: this.label.peek(), radius: this.radius.peek(), points: [voxel] };
    return true;
  }

  extend(voxel: Triple): void {
    const line = this.draft.peek();
    if (!line) {
      if (this.tool.peek() === "eraser") this.eraseAt(voxel);
      return;
    }
    if (line.points.at(-1)!.every((at, axis) => at === voxel[axis])) return;
    this.draft.value = { ...line, points: [...line.points, voxel] };
  }

  end(): void {
    const line = this.draft.peek();
    this.draft.value = null;
    if (line) {
      const { strokes } = this;
      this.change({ ...strokes.peek(), lines: [...strokes.peek().lines, { ...line, points: simplified(line.points) }] });
    }
    this.leaveFor(this.next);
  }

  /** Forget the line that is being drawn. */
  cancel(): void {
    this.draft.value = null;
    this.leaveFor(this.next);
  }

  /** Remove the newest line that covers a voxel. */
  private eraseAt(voxel: Triple): void {
    const { shape, lines } = this.strokes.peek();
    const at = lines.findLastIndex((line) => covers(line, shape, voxel));
    if (at >= 0) this.change({ ...this.strokes.peek(), lines: lines.filter((_, n) => n !== at) });
  }

  clear(): void {
    this.change({ ...this.strokes.peek(), lines: [], voxels: "" });
  }

  /** Replace what is painted, in a step that can be undone. */
  change(next: Strokes): void {
    if (used(next) > 1 && used(next) > used(this.strokes.peek())) {
      this.problem.value = "These are more strokes than a job can take. Erase some, or paint shorter ones.";
      return;
    }
    this.problem.value = "";
    this.done.value = [...this.done.peek(), this.strokes.peek()];
    this.undone.value = [];
    this.strokes.value = next;
    this.sendLater();
  }

  undo(): void {
    this.step(this.done, this.undone);
  }

  redo(): void {
    this.step(this.undone, this.done);
  }

  private step(from: Signal<readonly Strokes[]>, to: Signal<readonly Strokes[]>): void {
    const found = from.peek().at(-1);
    if (!found) return;
    from.value = from.peek().slice(0, -1);
    to.value = [...to.peek(), this.strokes.peek()];
    this.strokes.value = found;
    this.sendLater();
  }

  /** Send what is painted once the visitor has paused, if the job follows it. */
  sendLater(): void {
    clearTimeout(this.timer);
    if (!this.closed && this.follows.peek()) this.timer = setTimeout(() => void this.send(), PAUSE_MS);
  }

  /** Have the job learn from what is painted, or a new one if this one has ended or has another engine. */
  async send(): Promise<void> {
    if (this.busy.peek() || this.next || !this.isEnough.peek() || this.isLearned.peek()) return;
    this.busy.value = true;
    this.problem.value = "";
    const strokes = sendable(this.strokes.peek());
    try {
      if (!(await this.update(strokes))) await this.start(strokes);
    } catch (error) {
      this.problem.value = error instanceof ApiError ? `${error.message} ${advice(error)}`.trim() : errorText(error);
      return;
    } finally {
      this.busy.value = false;
    }
    // What was painted meanwhile.
    this.sendLater();
  }

  /** Replace the strokes of the job; false if it takes none. */
  private async update(strokes: Strokes): Promise<boolean> {
    const { job_id: jobId, state } = this.job.peek();
    if (this.learned.peek() === null || isFinal(state)) return false;
    try {
      updateJob(await setStrokes(jobId, strokes));
    } catch (error) {
      // It has ended meanwhile.
      if (error instanceof ApiError && (error.status === CONFLICT || error.status === NOT_FOUND)) return false;
      throw error;
    }
    this.learned.value = strokes;
    return true;
  }

  private async start(strokes: Strokes): Promise<void> {
    const job = this.job.peek();
    const { volume, within } = templateOf(job);
    if (!volume) return;
    const own = job.engine === PIXELS ? { ...(job.params as Record<string, Json>), model: null } : {};
    const order = {
      engine: PIXELS,
      params: { ...own, strokes: strokes as unknown as Json },
      parameterNames: new Set<string>(),
      voxelSize: job.volume.voxel_size_A,
      within,
      name: job.engine === PIXELS ? job.name : "",
      priority: job.priority,
    };
    const started = await submitJob(jobRequest(order, volume, job.volume.name, false), randomKey());
    updateJob(started);
    // Who may submit jobs may also cancel this one; if it has just ended, all the better.
    if (painting.end(job.job_id) && !isFinal(job.state)) void cancelJob(job.job_id).then(updateJob, () => {});
    setFocus(started.job_id, this.position.peek()).catch(() => {});
    this.next = started.job_id;
    // A line that is being drawn must not be torn off.
    if (!this.draft.peek()) this.leaveFor(this.next);
  }

  private leaveFor(jobId: string | null): void {
    if (!jobId || this.closed) return;
    this.stopKeeping();
    painting.drop(this.job.peek().job_id);
    this.keep(jobId);
    this.closed = true;
    this.onLeave(jobId);
    go(jobHref(jobId));
  }
}
