"""The desktop: scrolling with an overlay, updating it, and opening a file.

Scrolling compares one tomogram of 512³ float32 (memory-mapped) with its overlay as the panel shows them, panel docked
and job watched, against bare napari with the same two layers in a window of its own. Updating compares the panel's way
with a new frame of 128³ against napari's own refresh after the same array was changed in place. Frames at 10 Hz are
then sent while the person scrolls; the table says how many waited behind the one being drawn, and how even the turns
of the event loop were, beside those of the same scrolling without frames. The first preview is that of a fresh window.
Opening a file of 10 GB (a hole on disk) is timed with its contrast sample. Everything runs on Xvfb with a software
renderer, so the absolute times are those of a machine without a GPU; limits are the ratios.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobEvent, JobRecord, JobState, VolumeSummary
from cryomamba.volumes import write_volume

SHAPE = (512, 512, 512)
FACTOR = 4
STEPS = range(200, 260)
ROUNDS = 4
FRAMES = 60
FRAME_S = 0.1
JOB = "job-1"

# napari has no types, and the controller is only known once napari is imported.
Viewer = Any
LabelsLayer = Any
Controller = Any


def main() -> None:
    if not os.environ.get("DISPLAY"):
        xvfb = shutil.which("xvfb-run")
        if xvfb is None:
            raise SystemExit("neither a display nor xvfb-run is there")
        command = [xvfb, "-a", "-s", "-screen 0 1600x1000x24", sys.executable, "-m", "benchmarks.desktop_scroll"]
        raise SystemExit(subprocess.run(command, check=False).returncode)
    import_times()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        os.environ["CRYOMAMBA_HOME"] = folder
        os.environ["NAPARI_CONFIG"] = f"{folder}/napari.yaml"
        path = Path(folder) / "volume.mrc"
        rng = np.random.default_rng(0)
        slabs = (rng.standard_normal((32, *SHAPE[1:]), np.float32) for _ in range(SHAPE[0] // 32))
        write_volume(path, slabs, 10.0, shape=SHAPE)
        warnings.simplefilter("ignore")
        open_large(Path(folder))
        in_windows(path)


def import_times() -> None:
    print("import, seconds of a fresh process (best of 3)")
    for what in ("cryomamba", "napari.layers, napari.qt", "napari_cryomamba.window"):
        code = f"import time; t = time.perf_counter(); import {what}; print(time.perf_counter() - t)"
        runs = [
            float(subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, check=True).stdout)
            for _ in range(3)
        ]
        print(f"  {what:<28}{min(runs):6.2f}")


def open_large(folder: Path) -> None:
    from napari_cryomamba.layers.tomogram import open_tomogram

    path = folder / "large.mrc"
    write_volume(path, np.zeros((1, 1024, 1024), np.float32), 10.0)
    header = bytearray(path.read_bytes()[:1024])
    for at in (8, 36):
        header[at : at + 4] = (2560).to_bytes(4, "little")
    with path.open("wb") as file:
        file.write(header)
        file.truncate(1024 + 2560 * 1024 * 1024 * 4)
    started = time.perf_counter()
    tomogram = open_tomogram(path)
    seconds = time.perf_counter() - started
    print(f"open a file of {path.stat().st_size / 1e9:.1f} GB with its contrast: {seconds * 1e3:.0f} ms")
    del tomogram
    path.unlink()


def in_windows(path: Path) -> None:
    import napari
    from napari.layers import Layer

    from napari_cryomamba.app.idle_collection import IdleCollection
    from napari_cryomamba.layers.tomogram import open_tomogram
    from napari_cryomamba.net.messages import JobChanged
    from napari_cryomamba.window import open_window

    viewer, panel = open_window([path], server="tcp://127.0.0.1:1")
    collection = IdleCollection(viewer)
    viewer.window.resize(1300, 800)
    spin_until(lambda: len(viewer.layers) == 1 and panel.tomogram.measured)
    app = panel.controller
    app.jobs.table.adopt(JOB)
    app.on_message(JobChanged(record(path)))
    app.preview.watch(JOB)
    panel.connection.setVisible(False)
    spin(2.0)
    # A job's first preview comes seconds after the window, so napari has been prepared by then.
    spin_until(lambda: not any("preparing" in thread.name for thread in threading.enumerate()))
    first_preview(viewer, app)
    spin(1.0)

    mask = frame(0).mask
    bare = napari.Viewer(title="bare")
    bare.window.resize(1300, 800)
    bare.add_layer(Layer.create(*open_tomogram(path).layer()))
    placed = {"scale": (FACTOR,) * 3, "translate": ((FACTOR - 1) / 2,) * 3, "units": ("nm",) * 3}
    labels = bare.add_labels(mask.copy(), opacity=0.6, **placed)

    same_canvas(bare, viewer)
    scrolling = {"bare napari": bare, "with the panel": viewer}
    compare(
        "scroll one section, 512³ with overlay", {name: partial(scroll, found) for name, found in scrolling.items()}
    )
    for title, drawn in (("update an overlay of 128³ in 2D, drawn", True), ("the same without drawing", False)):
        updates: dict[str, Callable[[], list[float]]] = {
            "napari, in place and refresh()": partial(update_bare, bare, labels, drawn=drawn),
            "the panel, a frame": partial(update_panel, viewer, app, drawn=drawn),
        }
        compare(title, updates)
    ten_hertz(viewer, app)
    collection.close()
    panel.shut_down()
    viewer.close()
    bare.close()


def same_canvas(*viewers: Viewer) -> None:
    """Give all canvases the same size, because drawing costs by the pixel."""
    for viewer in viewers:
        canvas_of(viewer).native.setFixedSize(600, 600)
    spin(1.0)


def compare(title: str, ways: dict[str, Callable[[], list[float]]]) -> None:
    """Take turns, so that what else the machine does falls on all alike."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            found[name] += way()
    print(f"{title}, median of {len(next(iter(found.values())))}")
    first = statistics.median(next(iter(found.values())))
    for name, times in found.items():
        median = statistics.median(times)
        print(f"  {name:<32}{median * 1e3:7.2f} ms  ×{median / first:.2f}")


def scroll(viewer: Viewer) -> list[float]:
    times = []
    for z in STEPS:
        started = time.perf_counter()
        viewer.dims.set_current_step(0, z)
        draw(viewer)
        times.append(time.perf_counter() - started)
    return times


def first_preview(viewer: Viewer, app: Controller) -> None:
    """Time the first preview of a job, and what it leaves to be drawn."""
    usual = statistics.median(scroll(viewer))
    # Making the mask is no work of the window's.
    frame(0)
    began, computed = time.perf_counter(), time.thread_time()
    show(app, 0)
    made, computing = time.perf_counter() - began, time.thread_time() - computed
    longest, last = 0.0, time.perf_counter()
    while time.perf_counter() - began < made + 1.5:
        spin(0.0)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    print("first preview of a job, 128³, which makes its layer")
    print(f"  {made * 1e3:.0f} ms, of which {computing * 1e3:.0f} ms of computing in the window's thread")
    print(f"  longest turn of the event loop after it: {longest * 1e3:.0f} ms (a section takes {usual * 1e3:.0f} ms)")


def update_bare(viewer: Viewer, labels: LabelsLayer, *, drawn: bool) -> list[float]:
    times = []
    for number in range(20):
        new = frame(number).mask
        started = time.perf_counter()
        np.copyto(labels.data, new)
        labels.refresh()
        if drawn:
            draw(viewer)
        times.append(time.perf_counter() - started)
    return times


def update_panel(viewer: Viewer, app: Controller, *, drawn: bool) -> list[float]:
    times = []
    for number in range(20):
        app.frames[JOB].put(frame(number))
        started = time.perf_counter()
        app.preview.draw(JOB)
        if drawn:
            draw(viewer)
        times.append(time.perf_counter() - started)
    return times


def ten_hertz(viewer: Viewer, app: Controller) -> None:
    """Send frames from a thread, as the network does, while the sections are scrolled."""
    from napari_cryomamba.net.messages import FrameReady

    queue = app.frames[JOB]
    before = queue.statistics
    shown: list[str] = []
    waiting: list[int] = []
    app.preview.frame_drawn.connect(shown.append)

    def send() -> None:
        woken = 0
        for number in range(FRAMES):
            if queue.put(frame(number)):
                woken += 1
                app.server.bridge.message_received.emit(FrameReady(JOB))
            waiting.append(woken - len(shown))
            time.sleep(FRAME_S)

    scroll(viewer)
    until = time.monotonic() + FRAMES * FRAME_S
    alone = turns(viewer, lambda: time.monotonic() < until)
    sender = threading.Thread(target=send)
    sender.start()
    updated = turns(viewer, sender.is_alive)
    sender.join()
    spin(0.3)
    skipped = queue.statistics.skipped - before.skipped
    print(f"10 Hz while scrolling: {FRAMES} frames came, {len(shown)} drawn, {skipped} replaced by a newer one")
    print(f"  most waiting to be drawn at once: {max(waiting)}")
    for way, found in (("scrolling alone", alone), ("with updates", updated)):
        for name, seconds in zip(("by the clock", "computing in the window's thread"), found, strict=True):
            median = statistics.median(seconds)
            late, longest = np.quantile(seconds, 0.95) / median, max(seconds) / median
            print(
                f"  {way}, {name}: median {median * 1e3:.1f} ms, 95 % below ×{late:.2f}, "
                f"longest ×{longest:.2f} of {len(seconds)}"
            )


def turns(viewer: Viewer, go_on: Callable[[], bool]) -> tuple[list[float], list[float]]:
    """Scroll; return how long each turn of the event loop takes, with a section drawn, by the clock and in CPU time."""
    z = STEPS.start
    seconds, computing = [], []
    while go_on():
        began, computed = time.perf_counter(), time.thread_time()
        viewer.dims.set_current_step(0, z)
        z = STEPS.start + (z + 1 - STEPS.start) % len(STEPS)
        spin(0.0)
        seconds.append(time.perf_counter() - began)
        computing.append(time.thread_time() - computed)
    return seconds, computing


def draw(viewer: Viewer) -> None:
    """Draw now and wait for it."""
    canvas_of(viewer).native.update()
    spin(0.0)
    canvas_of(viewer).native.grabFramebuffer()


def canvas_of(viewer: Viewer) -> Any:  # noqa: ANN401
    return viewer.window._qt_viewer.canvas  # noqa: SLF001 (napari has no public way to its canvas)


def spin(seconds: float) -> None:
    from qtpy.QtWidgets import QApplication

    application: Any = QApplication.instance()
    end = time.monotonic() + seconds
    while True:
        application.processEvents()
        if time.monotonic() >= end:
            return


def spin_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        spin(0.01)
        if time.monotonic() > end:
            raise SystemExit("the window did not get ready")


def show(app: Controller, number: int) -> None:
    app.frames[JOB].put(frame(number))
    app.preview.draw(JOB)


_MASKS: dict[int, np.ndarray] = {}


def frame(number: int) -> PreviewFrame:
    """Return a frame whose mask moves with its number."""
    if number % 8 not in _MASKS:
        side = SHAPE[0] // FACTOR
        z, y, x = np.ogrid[:side, :side, :side]
        shell = np.abs(np.sqrt((z - 64) ** 2 + (y - 64) ** 2 + (x - 56 - number % 8) ** 2) - 40) < 4
        _MASKS[number % 8] = shell.astype(np.uint8)
    return PreviewFrame(
        job_id=JOB,
        mask=_MASKS[number % 8].copy(),
        scale=(FACTOR,) * 3,
        volume_shape=SHAPE,
        voxel_size_A=(10.0, 10.0, 10.0),
        progress=0.5,
        engine="demo",
        labels={1: "shell"},
        seq=number,
    )


def record(path: Path) -> JobRecord:
    now = datetime.now(UTC)
    event = JobEvent(n=1, type="job_started", job_id=JOB, state=JobState.RUNNING, attempt=1, at=now)
    return JobRecord(
        job_id=JOB,
        state=JobState.RUNNING,
        name="bench",
        engine="demo",
        params={},
        volume=VolumeSummary(name=path.name, shape=SHAPE, voxel_size_A=(10.0, 10.0, 10.0), path=str(path)),
        attempt=1,
        created_at=now,
        updated_at=now,
        history=(event,),
    )


if __name__ == "__main__":
    main()
