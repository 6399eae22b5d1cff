"""The page's viewer in Chromium: its weight, its first paint, a preview of 128³ voxels, and a tomogram of 10 GB.

Chromium draws with the processor here, without a graphics card. "Frame" is a preview from the message on the WebSocket
to three drawn sections: the time in which the page computes, without its wait for the screen's next picture. The
tomogram has 1024 × 2048 × 2560 voxels of 16 bits, all of them noise, in a file of 10.7 GB that is written first, so
that the system mostly has it in memory. The window has 1280 × 900 pixels. Times are from the movement of the slider to
the end of the animation frame that draws the section, so they include the wait for that frame. "Cold" is a section far
from the last one, "warm" the next one, 100 ms later: ten sections a second. "Computed" is the processor time of
browser, gateway and helper processes for a cold section, a warm one, and those that are loaded ahead of them. "Memory"
is that of the browser's process for the page.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
from benchmarks.volumes_http import SHAPE, large_upload
from tests.gateway.chromium import Tab, tab
from tests.gateway.conftest import Services
from tests.gateway.web.viewing import canvas

import cryomamba_gateway
from cryomamba.testing import wait_until_async
from cryomamba.wire.buffers import Codec

BUILT = Path(cryomamba_gateway.__file__).parent / "web"
SIDE = 128
FRAMES = 20
STARTS = 5
JUMPS = 20
PAUSE_S = 0.1
LEASE_S = 600.0
# Labels in a frame, and how it is compressed.
KINDS: tuple[tuple[int, Codec], ...] = ((1, "raw"), (1, "deflate"), (12, "deflate"))

# Notes how long the page computes for a frame: from the message to its acknowledgement, which follows decoding, and in
# the animation frames that paint pixels after it.
FRAME_CLOCK = """
window.clock = {decoded: [], drawn: []};
let received = 0, painting = false;
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (text) {
  if (text.includes('"ack"')) { clock.decoded.push(performance.now() - received); painting = true; }
  return send.call(this, text);
};
const listen = Object.getOwnPropertyDescriptor(WebSocket.prototype, "onmessage");
Object.defineProperty(WebSocket.prototype, "onmessage", {...listen, set(handler) {
  listen.set.call(this, (event) => {
    if (typeof event.data !== "string") received = performance.now();
    handler(event);
  });
}});
let painted = false;
const put = CanvasRenderingContext2D.prototype.putImageData;
CanvasRenderingContext2D.prototype.putImageData = function (...all) { painted = true; return put.apply(this, all); };
const request = window.requestAnimationFrame;
window.requestAnimationFrame = (draw) => request((at) => {
  painted = false;
  const start = performance.now();
  draw(at);
  if (painting && painted) clock.drawn.push(performance.now() - start);
});
"""
# Notes when a section has been drawn: at the end of the animation frame that paints pixels. The other panes only draw
# their crosshairs again.
SECTION_CLOCK = """
window.open_requests = 0;
window.drawn = () => {};
const ask = window.fetch;
window.fetch = async (...all) => {
  open_requests++;
  try { const reply = await ask(...all); await reply.clone().arrayBuffer(); return reply; } finally { open_requests--; }
};
const decode = window.createImageBitmap;
window.createImageBitmap = async (...all) => {
  const image = await decode(...all);
  window.last_image = `${image.width} × ${image.height}`;
  return image;
};
let painted = false;
const put = CanvasRenderingContext2D.prototype.putImageData;
CanvasRenderingContext2D.prototype.putImageData = function (...all) { painted = true; return put.apply(this, all); };
const request = window.requestAnimationFrame;
window.requestAnimationFrame = (draw) => request((at) => {
  painted = false;
  draw(at);
  if (painted) drawn();
});
"""
PAINTED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def row(what: str, value: str, target: str = "") -> None:
    print(f"{what:52s} {value:>12s} {target:>14s}".rstrip(), flush=True)


def weigh() -> None:
    names = ["index.html", "main.js", "page.css"]
    sizes = {name: (BUILT / name).stat().st_size for name in [*names, "surfaces.js"]}
    packed = sum(len(gzip.compress((BUILT / name).read_bytes())) for name in names)
    row("page before data", f"{sum(sizes[name] for name in names) / 1000:.0f} kB", "under 400 kB")
    row("the same, gzip", f"{packed / 1000:.0f} kB")
    row("3D part, loaded on demand", f"{sizes['surfaces.js'] / 1000:.0f} kB")


@asynccontextmanager
async def page_with(url: str, folder: Path, script: str) -> AsyncIterator[Tab]:
    """Open a page after a script was put into it."""
    async with tab("about:blank", folder) as page:
        await page.call("Page.enable")
        await page.call("Page.addScriptToEvaluateOnNewDocument", source=script)
        await page.resize(1280, 900)
        await page.call("Page.navigate", url=url)
        yield page


async def first_paints(url: str, folder: Path) -> None:
    times = []
    for n in range(STARTS):
        async with page_with(url, folder / f"paint-{n}", "") as page:
            entry = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
            await page.until(entry)
            times.append(await page.value(entry))
    row(f"first paint, median of {STARTS} starts", f"{statistics.median(times):.0f} ms", "under 1000 ms")


async def frames(services: Services, folder: Path) -> None:
    worker = await services.start_worker()
    job = await services.submit(volume={"shape": [2 * SIDE] * 3})
    claimed = await worker.claim()
    z, y, x = np.ogrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    distance = np.sqrt(z * z + y * y + x * x)
    async with page_with(f"{services.url}/#/jobs/{job.job_id}", folder / "frames", FRAME_CLOCK) as page:
        await page.until("window.clock && document.getElementById('job') !== null")

        async def watched() -> bool:
            await worker.publish(claimed, np.ones((SIDE, SIDE, SIDE), np.uint8), codec="raw")
            return bool(await page.value("clock.drawn.length"))

        await wait_until_async(watched, what="the first frame")
        await page.value(PAINTED)
        for labels, codec in KINDS:
            await page.value("void (clock.decoded.length = clock.drawn.length = 0)")
            for n in range(FRAMES):
                shell = np.abs((distance * 9 + n / FRAMES) % 1 - 0.5) < 0.15
                mask = np.where(shell, 1 + np.floor(distance * 9) % labels, 0).astype(np.uint8)
                await worker.publish(claimed, mask, codec=codec)
                await page.until(f"clock.decoded.length > {n} && clock.drawn.length > clock.decoded.length - 1")
                await page.value(PAINTED)
            decoded = statistics.median(await page.value("clock.decoded"))
            total = sum(await page.value("clock.drawn")) / FRAMES
            row(f"frame of {SIDE}³, {labels} labels, {codec}: decoded", f"{decoded:.1f} ms")
            row(f"frame of {SIDE}³, {labels} labels, {codec}: and drawn", f"{decoded + total:.1f} ms", "under 15 ms")
    await services.http.delete(f"/v1/jobs/{job.job_id}")


async def scroll(services: Services, folder: Path) -> None:
    await services.start_worker()
    file_id = large_upload(services.settings.home)
    job = await services.submit(volume={"file_id": file_id})
    async with page_with(f"{services.url}/#/jobs/{job.job_id}", folder / "scroll", SECTION_CLOCK) as page:
        await page.until(f"{canvas('z')} !== null && open_requests === 0")
        for axis, side in zip("zyx", SHAPE, strict=True):
            # Those along x are made of coarser levels, which take a while.
            await page.until("!document.body.textContent.includes('reduced resolution')" if axis == "x" else "true")
            await page.value(f"{canvas(axis)}.focus()")
            cold: list[float] = []
            warm: list[float] = []
            computed = _computed_s()
            for n in range(JUMPS):
                # Far from the last one, and not the last section of its chunks.
                index = side // 32 * (13 * n % 32) + n % 16
                for times, at in ((cold, index), (warm, index + 1)):
                    times.append(await page.value(_moved(axis, at)))
                    await asyncio.sleep(PAUSE_S)
            each = (_computed_s() - computed) / JUMPS
            size = await page.value("last_image")
            row(f"10 GB: section along {axis}, cold, median", f"{statistics.median(cold):.0f} ms", "under 150 ms")
            row(f"10 GB: section along {axis}, cold, slowest of {JUMPS}", f"{max(cold):.0f} ms")
            row(f"10 GB: section along {axis}, warm, median", f"{statistics.median(warm):.0f} ms", "under 30 ms")
            row(f"10 GB: section along {axis}, warm, slowest of {JUMPS}", f"{max(warm):.0f} ms")
            row(f"10 GB: section along {axis}, computed for both", f"{each * 1000:.0f} ms")
            row(f"10 GB: section along {axis}, pixels", size)
        memory = _memory(folder / "scroll")
    row(f"10 GB: memory after {6 * JUMPS} sections", f"{memory / 1e6:.0f} MB")


def _moved(axis: str, index: int) -> str:
    """Move a slider; the value is the time until the section has been drawn."""
    slider = f"{canvas(axis)}.closest('.pane').querySelector('input')"
    return (
        "new Promise((done) => { const start = performance.now(); drawn = () => done(performance.now() - start);"
        f"{slider}.value = {index}; {slider}.dispatchEvent(new Event('input', {{bubbles: true}})); }})"
    )


def _computed_s() -> float:
    """Return how long this process, which is the gateway too, its helper processes and the browser have computed."""
    this = psutil.Process()
    processes = [this, *(child for child in this.children(recursive=True) if child.nice() == 0)]
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


def _memory(profile: Path) -> int:
    """Return the memory of the browser's largest process for pages."""
    found = [0]
    for process in psutil.process_iter(["cmdline"]):
        options = process.info["cmdline"] or []
        if "--type=renderer" in options and any(str(profile) in part for part in options):
            found.append(process.memory_info().rss)
    return max(found)


async def main() -> None:
    row("", "measured", "target")
    row("load of the machine before", f"{os.getloadavg()[1]:.0f}")
    weigh()
    with tempfile.TemporaryDirectory(prefix="browser-") as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            services = Services(folder / "home", stack)
            # The worker here renews no lease.
            services.settings = services.settings.model_copy(update={"lease_s": LEASE_S})
            stack.push_async_callback(services.stop_broker)
            await services.start_broker()
            await services.start_gateway()
            await first_paints(services.url, folder)
            await frames(services, folder)
            await scroll(services, folder)


if __name__ == "__main__":
    asyncio.run(main())
