// Shows the jobs of this server, and a live preview of the mask of the selected one.
// Names and messages of jobs were written by others: they are inserted as text, never as markup.

const SUBPROTOCOL = "cryomamba.frames.v1", NOT_ALLOWED = 1008;
const MAX_JOBS = 100, MIN_RETRY_MS = 500, MAX_RETRY_MS = 10_000, HEALTH_MS = 15_000;
const AXES = ["z", "y", "x"];
const UNITS = {deg: "°", A: "Å", nm: "nm", nm3: "nm³"};
const UNAVAILABLE = "The server is not available. Ask whoever runs it.";

const jobs = new Map(), rows = new Map();
let socket = null, retryMs = MIN_RETRY_MS, selected = "", frame = null;

const byId = (id) => document.getElementById(id);
const setText = (id, text) => { byId(id).textContent = printable(text); };
const setVisible = (id, visible) => { byId(id).hidden = !visible; };

// Control characters, and marks that reverse a line or have no width, are shown by their number.
const UNSAFE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;
const printable = (text) => String(text).replace(UNSAFE, (found) => `\\u{${found.codePointAt(0).toString(16)}}`);

function element(tag, text = "") {
  const created = document.createElement(tag);
  created.textContent = printable(text);
  return created;
}

async function errorText(response) {
  const error = await response.json().catch(() => ({}));
  return [error.message ?? `The server responded with status ${response.status}.`, error.hint].filter(Boolean).join(" ");
}

// Health

async function updateHealth() {
  try {
    const health = await (await fetch("/v1/healthz")).json();
    setText("version", health.version);
    setText("health", `Running for ${duration(health.uptime_s)}`);
    const response = await fetch("/v1/readyz");
    setText("readiness", response.ok ? ready(await response.json()) : await errorText(response));
  } catch {
    setText("health", UNAVAILABLE);
    setText("readiness", "–");
  }
}

const ready = ({workers}) => `Ready · ${workers} ${workers === 1 ? "worker" : "workers"}`;

function duration(seconds) {
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  if (hours >= 48) return `${Math.floor(hours / 24)} days`;
  return hours ? `${hours} h ${minutes % 60} min` : minutes ? `${minutes} min` : `${Math.floor(seconds)} s`;
}

// Sign in and out

async function loadJobs() {
  try {
    const response = await fetch(`/v1/jobs?limit=${MAX_JOBS}`, {cache: "no-store"});
    const unauthorized = response.status === 401;
    setVisible("sign-in", unauthorized);
    setVisible("content", response.ok);
    if (unauthorized) return forgetAll();
    if (!response.ok) {
      setText("notice", await errorText(response));
      return retry(loadJobs);
    }
    // Only a server that requires tokens has rate limits.
    setVisible("sign-out", response.headers.has("X-RateLimit-Limit"));
    for (const job of (await response.json()).jobs.reverse()) updateJob(job);
    setVisible("no-jobs", jobs.size === 0);
    connect();
  } catch {
    setText("notice", `${UNAVAILABLE} Trying again.`);
    retry(loadJobs);
  }
}

function retry(action) {
  setTimeout(action, retryMs);
  retryMs = Math.min(2 * retryMs, MAX_RETRY_MS);
}

byId("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  byId("token").value = "";
  try {
    const response = await fetch("/v1/session", {method: "POST", headers: {Authorization: `Bearer ${token}`}});
    setText("notice", response.ok ? "" : await errorText(response));
    if (response.ok) loadJobs();
  } catch {
    setText("notice", "Signing in failed: the token is invalid, or the server is not available.");
  }
});

byId("sign-out").addEventListener("click", async () => {
  await fetch("/v1/session", {method: "DELETE"}).catch(() => {});
  location.assign("/");
});

// WebSocket

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/v1/ws`, SUBPROTOCOL);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    send({type: "subscribe", job_id: "*"});
    if (selected) send({type: "subscribe", job_id: selected});
  };
  socket.onmessage = ({data}) => (typeof data === "string" ? handleMessage(JSON.parse(data)) : handleFrame(data));
  socket.onclose = ({code, reason: why}) => {
    socket = null;
    setText("notice", code === NOT_ALLOWED ? why : "The connection was lost. Trying again.");
    retry(loadJobs);
  };
}

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function handleMessage({type, job_id: id, data}) {
  retryMs = MIN_RETRY_MS;
  if (type === "subscribed") setText("notice", "");
  else if (type === "link") setText("notice", data.status === "lost" ? data.message : "");
  else if (type === "error") setText("notice", [data.message, data.hint].filter(Boolean).join(" "));
  else if (type === "connected" || type.startsWith("job_")) updateJob(data);
  else if (type === "progress" && jobs.has(id)) updateJob({...jobs.get(id), progress: data});
}

async function handleFrame(data) {
  const size = new DataView(data).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, size)));
  const payload = new Uint8Array(data, 4 + size);
  const received = {...header, labels: await decompress(payload, header.buffer.codec)};
  send({type: "ack", seq: header.seq});
  if (header.job_id !== selected) return;
  const first = frame === null;
  frame = received;
  if (first) selectMiddleSlice();
  draw();
}

async function decompress(payload, codec) {
  if (codec === "raw") return payload;
  const stream = new Blob([payload]).stream().pipeThrough(new DecompressionStream(codec));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Jobs

function updateJob(job) {
  jobs.set(job.job_id, job);
  let row = rows.get(job.job_id);
  if (!row) {
    row = newRow(job);
    rows.set(job.job_id, row);
    byId("jobs").prepend(row);
    setVisible("no-jobs", false);
    if (rows.size > MAX_JOBS) forget(byId("jobs").lastElementChild.dataset.job);
  }
  const [, , state, progress] = row.children;
  state.textContent = printable(job.state);
  progress.firstChild.value = job.state === "completed" ? 1 : job.progress.fraction;
  if (job.job_id === selected) describe(job);
}

function newRow(job) {
  const row = document.createElement("tr"), name = element("a", title(job));
  row.dataset.job = job.job_id;
  name.href = `#${encodeURIComponent(job.job_id)}`;
  const cells = [name, element("span", job.engine), "", element("progress"), new Date(job.created_at).toLocaleString()];
  row.append(...cells.map((content) => { const cell = element("td"); cell.append(content); return cell; }));
  row.classList.toggle("selected", job.job_id === selected);
  return row;
}

function forget(id) {
  rows.get(id)?.remove();
  rows.delete(id);
  jobs.delete(id);
}

// The next user may be somebody else.
function forgetAll() {
  for (const id of [...rows.keys()]) forget(id);
  setVisible("job", false);
  frame = null;
}

const title = (job) => job.name || job.volume.name || job.job_id;

function describe(job) {
  setVisible("job", true);
  setText("job-name", title(job));
  setText("job-status", [job.engine, ...status(job)].filter(Boolean).join(" · "));
  describeResult(job);
  byId("files").replaceChildren(...job.artifacts.map((file) => {
    const item = element("li"), link = element("a", file.name);
    link.href = `/v1/jobs/${encodeURIComponent(job.job_id)}/artifacts/${encodeURIComponent(file.name)}`;
    link.download = file.name;
    item.append(link, ` ${(file.size_bytes / 1e6).toFixed(1)} MB`);
    return item;
  }));
}

function describeResult(job) {
  const said = new Set(job.warnings.map(({message}) => message));
  const texts = [...job.volume.warnings.filter((text) => !said.has(text)),
    ...job.warnings.map(({message, hint}) => `${message} ${hint}`)];
  byId("job-warnings").replaceChildren(...texts.map((text) => element("li", text)));
  const estimates = Object.entries(job.estimates).map(([name, value]) => estimateText(name, value));
  setText("job-estimates", estimates.length ? `Estimated: ${estimates.join(", ")}` : "");
}

// The last part of a name is its unit, as in tilt_range_deg.
function estimateText(name, value) {
  const words = name.split("_"), unit = words.length > 1 ? UNITS[words.at(-1)] : undefined;
  const text = typeof value === "number" ? `${Number(value.toPrecision(3))}` : value;
  return unit ? `${words.slice(0, -1).join(" ")} ${text} ${unit}` : `${words.join(" ")} ${text}`;
}

function status({state, progress, errors}) {
  if (state === "failed") return [state, errors.at(-1)?.message, errors.at(-1)?.hint];
  if (state !== "running") return [state];
  if (progress.fraction === 1) return [`Finishing: ${progress.stage}`];
  return [state, progress.stage, `${Math.round(100 * progress.fraction)} %`];
}

function selectJob() {
  const id = decodeURIComponent(location.hash.slice(1));
  if (id === selected) return;
  if (selected) send({type: "unsubscribe", job_id: selected});
  for (const [other, row] of rows) row.classList.toggle("selected", other === id);
  selected = id;
  frame = null;
  byId("slice-image").width = byId("slice-image").height = 1;
  setText("slice-caption", "No preview yet.");
  setVisible("job", jobs.has(id));
  if (jobs.has(id)) describe(jobs.get(id));
  if (id) send({type: "subscribe", job_id: id});
}

// The slice

const axisIndex = () => AXES.indexOf(byId("axis").value);

function selectMiddleSlice() {
  const slices = frame.volume_shape[axisIndex()];
  byId("slice").max = slices - 1;
  byId("slice").value = Math.floor(slices / 2);
}

function draw() {
  if (frame === null) return;
  const {shape, bits} = frame.buffer, axis = axisIndex(), slice = Number(byId("slice").value);
  const strides = [shape[1] * shape[2], shape[2], 1];
  const [down, right] = [0, 1, 2].filter((other) => other !== axis);
  const image = new ImageData(shape[right], shape[down]);
  const pixels = new Uint32Array(image.data.buffer);
  let pixel = 0;
  for (let row = 0; row < shape[down]; row++) {
    let voxel = Math.floor(slice / frame.scale[axis]) * strides[axis] + row * strides[down];
    for (let column = 0; column < shape[right]; column++, voxel += strides[right]) {
      const label = labelAt(frame.labels, voxel, bits);
      if (label) pixels[pixel] = COLOURS[(label - 1) % COLOURS.length];
      pixel++;
    }
  }
  const canvas = byId("slice-image");
  [canvas.width, canvas.height] = [image.width, image.height];
  const length = (other) => frame.volume_shape[other] * frame.voxel_size_A[other];
  canvas.style.aspectRatio = length(right) / length(down);
  canvas.getContext("2d").putImageData(image, 0, 0);
  const kind = frame.final ? "finished mask" : frame.coarse ? "quick preview" : "preview";
  setText("slice-caption", `Slice ${slice + 1} of ${frame.volume_shape[axis]} · ${kind}`);
}

// Labels are packed: below eight bits, the first is in the lowest bits of the first byte; 16 bits are little-endian.
function labelAt(packed, voxel, bits) {
  if (bits === 16) return packed[2 * voxel] | (packed[2 * voxel + 1] << 8);
  const bit = voxel * bits;
  return (packed[bit >> 3] >> (bit & 7)) & ((1 << bits) - 1);
}

// Hues a golden ratio apart, as in the images from the server.
const COLOURS = Uint32Array.from({length: 255}, (_, label) => {
  const lightness = [0.55, 0.68, 0.45][label % 3], hue = (0.08 + label * 0.618033988749895) % 1;
  const channel = (offset) => {
    const sector = (offset + 12 * hue) % 12, chroma = 0.85 * Math.min(lightness, 1 - lightness);
    return Math.round(255 * (lightness - chroma * Math.max(-1, Math.min(sector - 3, 9 - sector, 1))));
  };
  return channel(0) | (channel(8) << 8) | (channel(4) << 16) | (255 << 24);
});

byId("axis").addEventListener("change", () => { if (frame) selectMiddleSlice(); draw(); });
byId("slice").addEventListener("input", draw);
addEventListener("hashchange", selectJob);
setText("example", `cryomamba segment t1.mrc --server ${location.origin}`);
updateHealth();
setInterval(updateHealth, HEALTH_MS);
selectJob();
loadJobs();
