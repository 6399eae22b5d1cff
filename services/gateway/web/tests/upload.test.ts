import assert from "node:assert/strict";
import { test } from "node:test";
import type { FileRecord, UploadStatus } from "../src/api/types.ts";
import { PartPlan } from "../src/upload/parts.ts";
import { forgetUpload, saveUpload, savedUploads } from "../src/upload/saved.ts";
import { SpeedMeter } from "../src/upload/speed.ts";
import { type Failure, type Phase, type Transport, Upload } from "../src/upload/upload.ts";

const CHUNK = 10;

class Refused extends Error {
  constructor(readonly failure: Failure) {
    super(failure.message);
  }
}

const refused = (status: number, retryable = false) =>
  new Refused({ status, code: "", message: `status ${status}`, hint: "", retryable });

/** Keeps parts as the gateway does: the same bytes again are accepted, others refused. */
class Server implements Transport {
  readonly parts = new Map<number, string>();
  readonly log: string[] = [];
  known = false;
  /** Called before each request; may throw. */
  before: (request: string) => void = () => undefined;
  private name = "";
  private size = 0;

  async begin(name: string, size: number): Promise<UploadStatus> {
    this.note("begin");
    Object.assign(this, { name, size, known: true });
    this.parts.clear();
    return this.status("id");
  }

  async status(): Promise<UploadStatus>;
  async status(id: string): Promise<UploadStatus>;
  async status(): Promise<UploadStatus> {
    this.note("status");
    if (!this.known) throw refused(404);
    const received = [...this.parts.keys()];
    return {
      upload_id: "id",
      total_size_bytes: this.size,
      chunk_size_bytes: CHUNK,
      received_parts: received,
      file: null,
    };
  }

  async put(_: string, index: number, part: Blob, onSent: (bytes: number) => void, signal: AbortSignal): Promise<void> {
    this.note(`part ${index}`);
    const content = await part.text();
    onSent(content.length);
    if (signal.aborted) throw new Error("aborted");
    if (this.parts.has(index) && this.parts.get(index) !== content) throw refused(409);
    this.parts.set(index, content);
  }

  made({ file }: UploadStatus): FileRecord | undefined {
    return file ?? undefined;
  }

  async complete(): Promise<FileRecord> {
    this.note("complete");
    if (this.parts.size < Math.ceil(this.size / CHUNK)) throw refused(409);
    const filename = this.name;
    return {
      file_id: "f",
      filename,
      size_bytes: this.size,
      metadata: { shape: [1, 1, 1], voxel_size_A: [1, 1, 1] },
      owner: "",
      created_at: "",
    };
  }

  async abort(): Promise<void> {
    this.note("abort");
  }

  failure(thrown: unknown): Failure {
    if (thrown instanceof Refused) return thrown.failure;
    throw thrown;
  }

  wait(): Promise<void> {
    this.log.push("wait");
    return Promise.resolve();
  }

  now(): number {
    return 0;
  }

  private note(request: string): void {
    this.log.push(request);
    this.before(request);
  }
}

const TEXT = "0123456789abcdefghijABCDEFGHIJ-end";
const IDENTITY = { name: "t1.mrc", size: TEXT.length, lastModified: 7 };

function upload(server: Server, text = TEXT, phases: Phase[] = []): Upload {
  return new Upload(IDENTITY, new Blob([text]), server, ({ phase }) => phases.at(-1) !== phase && phases.push(phase));
}

test("a plan gives each part once, and counts what the server has", () => {
  const plan = new PartPlan(34, CHUNK, [1]);
  assert.deepEqual([plan.count, plan.size(3), plan.range(3)], [4, 4, [30, 34]]);
  assert.deepEqual([plan.take(), plan.take(), plan.take(), plan.take()], [0, 2, 3, undefined]);
  plan.progress(0, 5);
  assert.equal(plan.sentBytes, 15);
  plan.giveBack(0);
  assert.deepEqual([plan.take(), plan.sentBytes], [0, 10]);
  for (const index of [0, 2, 3]) plan.done(index);
  assert.deepEqual([plan.complete, plan.sentBytes], [true, 34]);
});

test("a file is sent in parts and becomes a record", async () => {
  const server = new Server();
  const phases: Phase[] = [];
  const one = upload(server, TEXT, phases);
  await one.run();
  assert.equal(
    [...server.parts]
      .sort(([a], [b]) => a - b)
      .map(([, text]) => text)
      .join(""),
    TEXT,
  );
  assert.deepEqual(phases, ["sending", "checking", "done"]);
  assert.deepEqual([one.snapshot.sentBytes, one.record?.file_id], [TEXT.length, "f"]);
});

test("a lost connection is waited for, and no part is left out", async () => {
  const server = new Server();
  let failures = 2;
  server.before = (request) => {
    if (request === "part 1" && failures-- > 0) throw refused(0, true);
  };
  const phases: Phase[] = [];
  await upload(server, TEXT, phases).run();
  assert.ok(phases.includes("unreachable"));
  assert.equal(phases.at(-1), "done");
  assert.equal(server.log.filter((entry) => entry === "wait").length, 2);
});

test("a refusal ends the upload and says why", async () => {
  const server = new Server();
  server.before = (request) => {
    if (request === "complete") throw refused(422);
  };
  const one = upload(server);
  await one.run();
  assert.deepEqual([one.phase, one.problem?.status], ["failed", 422]);
});

test("a paused upload resumes with the parts that are missing", async () => {
  const server = new Server();
  const one = upload(server);
  server.before = (request) => {
    if (request === "part 2") one.pause();
  };
  await one.run();
  assert.equal(one.phase, "paused");
  server.before = () => undefined;
  const before = [...server.parts.keys()];
  server.log.length = 0;
  await one.run();
  assert.equal(one.phase, "done");
  assert.deepEqual(
    server.log.filter((entry) => before.some((index) => entry === `part ${index}`)),
    [],
  );
});

test("after the page was loaded again the same file is compared by a part, and only the rest is sent", async () => {
  const server = new Server();
  const first = upload(server);
  server.before = (request) => {
    if (request === "part 3") first.pause();
  };
  await first.run();
  server.before = () => undefined;
  const resumed = new Upload(IDENTITY, undefined, server, () => undefined, await server.status("id"));
  assert.deepEqual(
    [resumed.phase, resumed.matches(IDENTITY), resumed.matches({ ...IDENTITY, size: 1 })],
    ["needs-file", true, false],
  );
  assert.ok(resumed.snapshot.sentBytes > 0);
  resumed.give(new Blob([TEXT]));
  server.log.length = 0;
  await resumed.run();
  assert.equal(resumed.phase, "done");
  assert.equal(
    [...server.parts]
      .sort(([a], [b]) => a - b)
      .map(([, text]) => text)
      .join(""),
    TEXT,
  );
});

test("another file of the same name and size is refused", async () => {
  const server = new Server();
  const first = upload(server);
  server.before = (request) => {
    if (request === "part 3") first.pause();
  };
  await first.run();
  server.before = () => undefined;
  const resumed = new Upload(IDENTITY, undefined, server, () => undefined, await server.status("id"));
  const kept = Math.max(...server.parts.keys());
  resumed.give(new Blob([TEXT.slice(0, kept * CHUNK).padEnd(TEXT.length, "x")]));
  await resumed.run();
  assert.equal(resumed.phase, "failed");
  assert.match(resumed.problem?.message ?? "", /not the file/);
});

test("an upload that has expired on the server begins anew", async () => {
  const server = new Server();
  const first = upload(server);
  server.before = (request) => {
    if (request === "part 3") first.pause();
  };
  await first.run();
  server.before = () => undefined;
  const status = await server.status("id");
  server.known = false;
  const resumed = new Upload(IDENTITY, new Blob([TEXT]), server, () => undefined, status);
  await resumed.run();
  assert.equal(resumed.phase, "done");
  assert.equal(server.parts.size, 4);
});

test("parts that were damaged on their way are sent again", async () => {
  const server = new Server();
  let damaged = true;
  server.before = (request) => {
    if (request !== "complete" || !damaged) return;
    damaged = false;
    server.parts.delete(2);
  };
  const one = upload(server);
  await one.run();
  assert.equal(one.phase, "done");
  assert.equal(server.log.filter((entry) => entry === "part 2").length, 2);
});

test("speed is that of the last seconds, and unknown at first", () => {
  const meter = new SpeedMeter();
  meter.note(0, 0);
  assert.equal(meter.speed, undefined);
  for (let second = 1; second <= 20; second++) meter.note(1000 * second, second <= 10 ? 0 : 100 * (second - 10));
  assert.ok(Math.abs(meter.speed! - 100) < 1);
  assert.ok(Math.abs(meter.secondsLeft(2000)! - 10) < 0.2);
});

test("unfinished uploads are remembered, whatever else is in the storage", () => {
  const kept = new Map<string, string>();
  const storage = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  };
  const saved = { ...IDENTITY, uploadId: "a" };
  saveUpload(storage, saved);
  saveUpload(storage, { ...saved, uploadId: "b" });
  saveUpload(storage, saved);
  assert.deepEqual(
    savedUploads(storage).map(({ uploadId }) => uploadId),
    ["b", "a"],
  );
  forgetUpload(storage, "b");
  forgetUpload(storage, "a");
  assert.equal(kept.size, 0);
  for (const broken of ["{", "3", '[{"uploadId": 1}]']) {
    kept.set("cryomamba.uploads", broken);
    assert.deepEqual(savedUploads(storage), []);
  }
});
