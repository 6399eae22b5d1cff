import assert from "node:assert/strict";
import { type RequestListener, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { request } from "../src/api/client.ts";
import { ApiError } from "../src/api/errors.ts";

async function served(answer: RequestListener, use: (url: string) => Promise<void>): Promise<void> {
  const server = createServer(answer);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  } finally {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
}

/** What is shown of a server that is not there, and asked for again. */
const isUnavailable = (error: unknown) => error instanceof ApiError && error.status === 0 && error.code === "unavailable";

test("a connection that is lost in the middle of an answer counts as one that could not be made", async () => {
  const cut: RequestListener = (_, response) => {
    response.writeHead(200, { "Content-Length": 1000 });
    response.write("half of it", () => response.destroy());
  };
  await served(cut, async (url) => {
    await assert.rejects(request(url), isUnavailable);
  });
  await served(() => undefined, async (url) => {
    const stop = new AbortController();
    const asked = request(url, { signal: stop.signal });
    stop.abort();
    await assert.rejects(asked, (error) => !isUnavailable(error));
  });
});

test("an answer is read as a whole, in any form", async () => {
  const whole: RequestListener = (_, response) => {
    response.writeHead(200, { "Content-Type": "application/json" }).end('{"name":"Zelle ä"}');
  };
  await served(whole, async (url) => {
    const answer = await request(url);
    assert.deepEqual(answer.json(), { name: "Zelle ä" });
    assert.equal(answer.blob().type, "application/json");
    assert.equal(answer.arrayBuffer().byteLength, 19);
  });
});
