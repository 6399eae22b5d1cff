// Looks on: the jobs of this server, and the mask of one of them while it grows.
// What the server tells of jobs was written by others. It goes into the page as text, never as markup.

const SUBPROTOCOL = "cryomamba.frames.v1", NOT_ALLOWED = 1008;
const LISTED = 100, FIRST_PAUSE_MS = 500, LONGEST_PAUSE_MS = 10_000, HEALTH_MS = 15_000;
const AXES = ["z", "y", "x"];

const jobs = new Map(), rows = new Map();
let socket = null, pause = FIRST_PAUSE_MS, chosen = "", frame = null;

const at = (id) => document.getElementById(id);
const tell = (id, text) => { at(id).textContent = text; };
const show = (id, shown) => { at(id).hidden = !shown; };

function element(tag, text = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

async function reason(reply) {
  const problem = await reply.json().catch(() => ({}));
  return [problem.message ?? `The server answered ${reply.status}.`, problem.hint].filter(Boolean).join(" ");
}

// Health

async function lookAtHealth() {
  try {
    const health = await (await fetch("/v1/healthz")).json();
    tell("version", health.version);
    tell("health", `${health.status}, up for ${duration(health.uptime_s)}`);
    const ready = await fetch("/v1/readyz");
    tell("ready", ready.ok ? `yes, workers: ${(await ready.json()).workers}` : `no: ${await reason(ready)}`);
  } catch {
    tell("health", "does not answer");
    tell("ready", "–");
  }
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  if (hours >= 48) return `${Math.floor(hours / 24)} days`;
  return hours ? `${hours} h ${minutes % 60} min` : minutes ? `${minutes} min` : `${Math.floor(seconds)} s`;
}

// The way in

async function enter() {
  try {
    const reply = await fetch(`/v1/jobs?limit=${LISTED}`, {cache: "no-store"});
    const outside = reply.status === 401;
    show("door", outside);
    show("inside", reply.ok);
    if (outside) return forgetAll();
    if (!reply.ok) {
      tell("notice", await reason(reply));
      return later(enter);
    }
    // Only a server that wants tokens counts requests.
    show("leave", reply.headers.has("X-RateLimit-Limit"));
    for (const job of (await reply.json()).jobs.reverse()) take(job);
    show("none", jobs.size === 0);
    listen();
  } catch {
    tell("notice", "The server does not answer; trying again.");
    later(enter);
  }
}

function later(work) {
  setTimeout(work, pause);
  pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
}

at("door").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = at("token").value.trim();
  at("token").value = "";
  try {
    const reply = await fetch("/v1/session", {method: "POST", headers: {Authorization: `Bearer ${token}`}});
    tell("notice", reply.ok ? "" : await reason(reply));
    if (reply.ok) enter();
  } catch {
    tell("notice", "The server does not answer, or this is no token.");
  }
});

at("leave").addEventListener("click", async () => {
  await fetch("/v1/session", {method: "DELETE"}).catch(() => {});
  location.assign("/");
});

// Listening

function listen() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/v1/ws`, SUBPROTOCOL);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    say({type: "subscribe", job_id: "*"});
    if (chosen) say({type: "subscribe", job_id: chosen});
  };
  socket.onmessage = ({data}) => (typeof data === "string" ? hear(JSON.parse(data)) : see(data));
  socket.onclose = ({code, reason: why}) => {
    socket = null;
    tell("notice", code === NOT_ALLOWED ? why : "The connection was lost; trying again.");
    later(enter);
  };
}

function say(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function hear({type, job_id: id, data}) {
  pause = FIRST_PAUSE_MS;
  if (type === "subscribed") tell("notice", "");
  else if (type === "link") tell("notice", data.status === "lost" ? data.message : "");
  else if (type === "error") tell("notice", [data.message, data.hint].filter(Boolean).join(" "));
  else if (type === "connected" || type.startsWith("job_")) take(data);
  else if (type === "progress" && jobs.has(id)) take({...jobs.get(id), progress: data});
}

async function see(data) {
  const size = new DataView(data).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, size)));
  const payload = new Uint8Array(data, 4 + size);
  const seen = {...header, labels: await unpacked(payload, header.buffer.codec)};
  say({type: "ack", seq: header.seq});
  if (header.job_id !== chosen) return;
  const first = frame === null;
  frame = seen;
  if (first) middle();
  draw();
}

async function unpacked(payload, codec) {
  if (codec === "raw") return payload;
  const stream = new Blob([payload]).stream().pipeThrough(new DecompressionStream(codec));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Jobs

function take(job) {
  jobs.set(job.job_id, job);
  let row = rows.get(job.job_id);
  if (!row) {
    row = newRow(job);
    rows.set(job.job_id, row);
    at("jobs").prepend(row);
    show("none", false);
    if (rows.size > LISTED) forget(at("jobs").lastElementChild.dataset.job);
  }
  const [, , state, progress] = row.children;
  state.textContent = job.state;
  progress.firstChild.value = job.state === "completed" ? 1 : job.progress.fraction;
  if (job.job_id === chosen) describe(job);
}

function newRow(job) {
  const row = document.createElement("tr"), name = element("a", title(job));
  row.dataset.job = job.job_id;
  name.href = `#${encodeURIComponent(job.job_id)}`;
  const cells = [name, element("span", job.engine), "", element("progress"), new Date(job.created_at).toLocaleString()];
  row.append(...cells.map((content) => { const cell = element("td"); cell.append(content); return cell; }));
  row.classList.toggle("chosen", job.job_id === chosen);
  return row;
}

function forget(id) {
  rows.get(id)?.remove();
  rows.delete(id);
  jobs.delete(id);
}

// Whoever comes in next may be somebody else.
function forgetAll() {
  for (const id of [...rows.keys()]) forget(id);
  show("job", false);
  frame = null;
}

const title = (job) => job.name || job.volume.name || job.job_id;

function describe(job) {
  show("job", true);
  tell("name", title(job));
  const problem = job.state === "failed" ? job.errors.at(-1) : null;
  const percent = `${Math.round(100 * job.progress.fraction)} %`;
  const running = job.state === "running" ? [job.progress.stage, percent] : [];
  tell("told", [job.engine, job.state, ...running, problem?.message, problem?.hint].filter(Boolean).join(" · "));
  at("files").replaceChildren(...job.artifacts.map((file) => {
    const item = element("li"), link = element("a", file.name);
    link.href = `/v1/jobs/${encodeURIComponent(job.job_id)}/artifacts/${encodeURIComponent(file.name)}`;
    link.download = file.name;
    item.append(link, ` ${(file.size_bytes / 1e6).toFixed(1)} MB`);
    return item;
  }));
}

function choose() {
  const id = decodeURIComponent(location.hash.slice(1));
  if (id === chosen) return;
  if (chosen) say({type: "unsubscribe", job_id: chosen});
  for (const [other, row] of rows) row.classList.toggle("chosen", other === id);
  chosen = id;
  frame = null;
  at("section").width = at("section").height = 1;
  tell("place", "No preview yet.");
  show("job", jobs.has(id));
  if (jobs.has(id)) describe(jobs.get(id));
  if (id) say({type: "subscribe", job_id: id});
}

// The picture

const across = () => AXES.indexOf(at("axis").value);

function middle() {
  const slices = frame.volume_shape[across()];
  at("slice").max = slices - 1;
  at("slice").value = Math.floor(slices / 2);
}

function draw() {
  if (frame === null) return;
  const {shape, bits} = frame.buffer, axis = across(), slice = Number(at("slice").value);
  const strides = [shape[1] * shape[2], shape[2], 1];
  const [down, right] = [0, 1, 2].filter((other) => other !== axis);
  const picture = new ImageData(shape[right], shape[down]);
  const pixels = new Uint32Array(picture.data.buffer);
  let pixel = 0;
  for (let row = 0; row < shape[down]; row++) {
    let voxel = Math.floor(slice / frame.scale[axis]) * strides[axis] + row * strides[down];
    for (let column = 0; column < shape[right]; column++, voxel += strides[right]) {
      const label = labelAt(frame.labels, voxel, bits);
      if (label) pixels[pixel] = COLOURS[(label - 1) % COLOURS.length];
      pixel++;
    }
  }
  const canvas = at("section");
  [canvas.width, canvas.height] = [picture.width, picture.height];
  const length = (other) => frame.volume_shape[other] * frame.voxel_size_A[other];
  canvas.style.aspectRatio = length(right) / length(down);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  const kind = frame.final ? "the finished mask" : frame.coarse ? "a first look" : "the mask so far";
  tell("place", `${slice} of ${frame.volume_shape[axis]}: ${kind}`);
}

// Labels are packed: below eight bits, the first is in the lowest bits of the first byte; 16 bits are little-endian.
function labelAt(packed, voxel, bits) {
  if (bits === 16) return packed[2 * voxel] | (packed[2 * voxel + 1] << 8);
  const bit = voxel * bits;
  return (packed[bit >> 3] >> (bit & 7)) & ((1 << bits) - 1);
}

// Hues a golden ratio apart, as in the pictures that the server draws.
const COLOURS = Uint32Array.from({length: 255}, (_, label) => {
  const lightness = [0.55, 0.68, 0.45][label % 3], hue = (0.08 + label * 0.618033988749895) % 1;
  const part = (offset) => {
    const place = (offset + 12 * hue) % 12, chroma = 0.85 * Math.min(lightness, 1 - lightness);
    return Math.round(255 * (lightness - chroma * Math.max(-1, Math.min(place - 3, 9 - place, 1))));
  };
  return part(0) | (part(8) << 8) | (part(4) << 16) | (255 << 24);
});

at("axis").addEventListener("change", () => { if (frame) middle(); draw(); });
at("slice").addEventListener("input", draw);
addEventListener("hashchange", choose);
tell("example", `cryomamba segment t1.mrc --server ${location.origin}`);
lookAtHealth();
setInterval(lookAtHealth, HEALTH_MS);
choose();
enter();
