import assert from "node:assert/strict";
import test from "node:test";
import { decodeFrame, decompress, frameLabels, labelAt, parseFrame, unpackLabels } from "../src/api/frames.ts";

/** Pack numbers as the services do. */
function pack(labels: number[], bits: number): Uint8Array<ArrayBuffer> {
  const packed = new Uint8Array(Math.ceil((labels.length * bits) / 8));
  labels.forEach((label, n) => {
    for (let bit = 0; bit < bits; bit++) {
      if ((label >> bit) & 1) packed[(n * bits + bit) >> 3]! |= 1 << ((n * bits + bit) & 7);
    }
  });
  return packed;
}

// Labels come back as they were packed, with every number of bits and a last byte that is not full.
for (const bits of [1, 2, 4, 8, 16]) {
  test(`labels of ${bits} bits`, () => {
    const labels = Array.from({ length: 37 }, (_, n) => (n % 3 ? (n * 7919) % 2 ** bits : 0));
    const packed = pack(labels, bits);
    assert.deepEqual([...unpackLabels(packed, 37, bits)], labels);
    assert.deepEqual(labels.map((_, n) => labelAt(packed, n, bits)), labels);
  });
}

// A message is its header and its labels, compressed or not.
for (const codec of ["raw", "deflate"]) {
  test(`a frame with ${codec} labels`, async () => {
    const labels = Array.from({ length: 24 }, (_, n) => n % 4);
    const packed = pack(labels, 2);
    const payload = codec === "raw" ? packed : await compress(packed);
    const header = { job_id: "j", seq: 5, buffer: { shape: [2, 3, 4], bits: 2, codec, dtype: "uint8" } };
    const text = new TextEncoder().encode(JSON.stringify(header));
    const message = new Uint8Array(4 + text.length + payload.length);
    new DataView(message.buffer).setUint32(0, text.length, true);
    message.set(text, 4);
    message.set(payload, 4 + text.length);
    const frame = await decodeFrame(parseFrame(message.buffer));
    assert.equal(frame.seq, 5);
    assert.deepEqual([...frameLabels(frame)], labels);
  });
}

async function compress(content: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([content]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Bytes that are not compressed are passed on as they are.
test("raw bytes", async () => {
  const content = new Uint8Array([1, 2, 3]);
  assert.equal(await decompress(content, "raw"), content);
});
