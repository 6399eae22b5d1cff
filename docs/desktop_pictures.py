"""Make the pictures of the desktop guide: real services, synthetic tomograms, and what a user would do.

Run it with a display (or ``xvfb-run -s "-screen 0 1600x1000x24"``): ``python docs/desktop_pictures.py``. With names of
steps, only these are done: ``python docs/desktop_pictures.py preview lose_connection``.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.testing import Stack
from cryomamba.volumes import write_volume

IMAGES = Path(__file__).parent / "images"
WIDTH = 1000
SPEC = PhantomSpec(
    shape=(160, 320, 320), voxel_size_A=(10.0, 10.0, 10.0), seed=12, noise=0.7, crowding=0.03, vesicles=12
)
FILAMENTS = PhantomSpec(
    shape=(64, 160, 160),
    voxel_size_A=14.0,
    seed=12,
    noise=1.5,
    filaments=5,
    vesicles=1,
    sheets=0,
    fiducials=0,
    crowding=0.02,
)


class Camera:
    """Waits, and takes pictures of the window."""

    def __init__(self, viewer: Any) -> None:  # noqa: ANN401 (napari has no types)
        from qtpy.QtWidgets import QApplication

        self.viewer = viewer
        self.application: Any = QApplication.instance()

    def until(self, condition: Callable[[], Any], what: str, timeout: float = 600.0) -> None:
        """Process events until a condition is true."""
        end = time.monotonic() + timeout
        while not condition():
            self.application.processEvents()
            time.sleep(0.01)
            if time.monotonic() > end:
                raise TimeoutError(what)

    def wait(self, seconds: float) -> None:
        """Let the window lay itself out and draw."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end, "the window")

    def take(self, name: str, wait_s: float = 0.5) -> None:
        """Write a small picture of the window."""
        self.wait(wait_s)
        pixels = self.viewer.window.screenshot(flash=False, canvas_only=False)[..., :3]
        picture = Image.fromarray(pixels)
        small = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
        IMAGES.mkdir(exist_ok=True)
        small.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
            IMAGES / f"desktop-{name}.png", optimize=True
        )


def main() -> None:
    """Run a session and take the pictures."""
    from qtpy.QtWidgets import QApplication

    # First, because without a display Qt aborts the process, which would leave the services running.
    application = QApplication([])
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        home = Path(folder)
        os.environ["CRYOMAMBA_HOME"] = str(home / "desktop")
        tomogram = home / "vesicles.mrc"
        write_volume(tomogram, synthesize(SPEC).density, SPEC.voxel_size_A)
        with Stack(home / "services", roots=[home]).start().wait_ready(timeout=60) as stack:
            session(stack, tomogram)
    application.quit()


def session(stack: Stack, tomogram: Path) -> None:
    """Open, segment, preview, measure."""
    from napari_cryomamba.window import open_window

    viewer, panel = open_window([tomogram], server=stack.http_url)
    # Offered at the first start, which this always is.
    panel.welcome.withdraw()
    viewer.window.resize(1440, 900)
    camera, app = Camera(viewer), panel.controller
    camera.until(lambda: app.server.usable and viewer.layers and panel.tomogram.measured, "the tomogram")
    camera.take("tomogram")
    steps: dict[str, Callable[[Camera, Any], None]] = {
        "display": display,
        "preview": preview,
        "measure": measure,
        "correct": correct,
        "measure_lengths": measure_lengths,
        "views": views,
        "pick": pick,
        "trace": partial(trace, tomogram=tomogram.with_name("microtubules.mrc")),
        "lose_connection": partial(lose_connection, stack=stack, tomogram=tomogram),
    }
    for name, step in steps.items():
        if name in sys.argv[1:] or not sys.argv[1:]:
            step(camera, panel)
    panel.shut_down()
    viewer.close()


def display(camera: Camera, panel: Any) -> None:  # noqa: ANN401
    """Average sections and filter them."""
    from napari_cryomamba.models.display import DisplayFilter

    panel.viewer.cursor.position = tuple(panel.viewer.dims.point)
    panel.controller.display.set_filter(DisplayFilter(sections=5, low_pass_A=40, high_pass_A=1500))
    camera.take("display")
    panel.controller.display.reset()


def preview(camera: Camera, panel: Any) -> None:  # noqa: ANN401 (napari's own types are unknown)
    """Start a job, and take a picture of a preview."""
    panel.tabs.setCurrentIndex(1)
    panel.segment.engine.setCurrentText("membrane")
    panel.segment.interval.setValue(0.1)
    panel.segment.submit()
    overlays = panel.controller.preview.overlays

    def growing() -> bool:
        jobs = panel.controller.jobs.table.rows
        return bool(overlays) and any(0.3 < job.progress.fraction < 1 for job in jobs)

    camera.until(growing, "a preview")
    camera.take("watch", wait_s=0.0)
    camera.until(lambda: next(iter(overlays.values())).final, "the finished mask")


def measure(camera: Camera, panel: Any) -> None:  # noqa: ANN401
    """Measure the mask, and change its threshold."""
    panel.show_panel(panel.mask_panel)
    panel.statistics.measure()
    camera.until(lambda: panel.statistics.rows, "the table")
    camera.take("mask")
    threshold = panel.threshold
    threshold.load_scores()
    camera.until(lambda: not threshold.controls.isHidden(), "the scores")
    threshold.high.setValue(threshold.high.value() - 25)
    camera.take("threshold", wait_s=2.0)
    threshold.discard()


def correct(camera: Camera, panel: Any) -> None:  # noqa: ANN401
    """Select the largest component in the table, with the tools for components beside it."""
    from napari_cryomamba.models.component_tool import Tool

    panel.show_panel(panel.mask_panel)
    panel.statistics.measure()
    camera.until(lambda: any(row.place is not None for row in panel.statistics.rows), "the components")
    row = next(row for row in panel.statistics.rows if row.place is not None)
    panel.statistics.select_place(row.place)
    camera.until(lambda: panel.component_link.outline.layer in panel.viewer.layers, "the outline")
    panel.viewer.dims.set_point(range(3), row.centre_nm)
    panel.edit.tools.choose(Tool.SELECT)
    section = panel.edit.parentWidget().parentWidget()
    section.expand(animate=False)
    camera.wait(1.0)
    panel.mask_panel.ensureWidgetVisible(panel.edit, 0, 60)
    camera.take("correct")
    panel.edit.tools.choose(None)
    section.collapse(animate=False)
    panel.component_link.outline.clear()


def measure_lengths(camera: Camera, panel: Any) -> None:  # noqa: ANN401
    """Measure a length, an angle and the density along a line."""
    from napari_cryomamba.layers.tomograms import active_tomogram
    from napari_cryomamba.models.measurements import Kind

    panel.show_panel(panel.measure)
    at = panel.viewer.dims.point[0] / active_tomogram(panel.viewer).scale[0]
    for kind, shape, vertices in (
        (Kind.RULER, "line", [(60, 60), (60, 140)]),
        (Kind.ANGLE, "path", [(180, 80), (240, 80), (240, 150)]),
        (Kind.PROFILE, "line", [(160, 180), (160, 290)]),
    ):
        panel.measure.draw(kind)
        line = np.array([(at, y, x) for y, x in vertices])
        panel.viewer.layers.selection.active.add(line, shape_type=shape)
    panel.measure.stop()
    camera.take("measure", wait_s=1.0)
    panel.viewer.layers.remove(panel.viewer.layers["measurements"])


def views(camera: Camera, panel: Any) -> None:  # noqa: ANN401
    """Show orthogonal views, and the mask in 3D."""
    viewer = panel.viewer
    layer = next(iter(panel.controller.preview.overlays.values())).layer
    layer.contour = 1
    panel.menu.orthogonal.trigger()
    camera.take("orthogonal", wait_s=1.0)
    panel.menu.orthogonal.trigger()
    layer.contour = 0
    viewer.dims.ndisplay = 3
    camera.until(lambda: panel.controller.volume_view.surfaces, "the surface")
    camera.take("3d", wait_s=1.0)
    viewer.dims.ndisplay = 2


def pick(camera: Camera, panel: Any) -> None:  # noqa: ANN401
    """Run the engine for particles, and show its picks."""
    from napari_cryomamba.models.gallery import Review

    panel.tabs.setCurrentIndex(1)
    panel.segment.engine.setCurrentText("particles")
    panel.segment.form.editors["diameter_A"].editor.setValue(120)
    panel.segment.submit()
    camera.until(lambda: panel.picks.export.isEnabled(), "the picks")
    overlays = panel.controller.preview.overlays
    camera.until(lambda: len(overlays) == 2 and all(overlay.final for overlay in overlays.values()), "its mask")
    for overlay in overlays.values():
        overlay.layer.visible = False
    panel.show_panel(panel.picks)
    camera.until(lambda: panel.picks.gallery.list.count(), "the gallery")
    panel.picks.gallery.list.setCurrentRow(0)
    for review in (Review.ACCEPTED, Review.ACCEPTED, Review.REJECTED, Review.ACCEPTED):
        panel.picks.gallery.decide(review)
    camera.take("picks")


def trace(camera: Camera, panel: Any, tomogram: Path) -> None:  # noqa: ANN401
    """Run the engine for filaments, and show its lines in 3D."""
    write_volume(tomogram, synthesize(FILAMENTS).density, FILAMENTS.voxel_size_A)
    count = len(panel.viewer.layers)
    panel.controller.tomograms.open_files([tomogram])
    camera.until(lambda: len(panel.viewer.layers) > count, "the second tomogram")
    panel.tabs.setCurrentIndex(1)
    panel.segment.engine.setCurrentText("filaments")
    panel.segment.submit()
    camera.until(lambda: [layer for layer in panel.viewer.layers if layer.name.endswith("paths")], "the paths")
    overlays = panel.controller.preview.overlays
    camera.until(lambda: len(overlays) == 3 and all(overlay.final for overlay in overlays.values()), "its mask")
    for layer in panel.viewer.layers:
        layer.visible = layer.name in (f"{tomogram.name} · paths", f"{tomogram.name} · picks")
    panel.viewer.dims.ndisplay = 3
    panel.viewer.scene.camera.angles = (10, 30, 60)
    panel.show_panel(panel.picks)
    camera.take("paths", wait_s=2.0)
    panel.viewer.dims.ndisplay = 2


def lose_connection(camera: Camera, panel: Any, stack: Stack, tomogram: Path) -> None:  # noqa: ANN401
    """Show the first tomogram with its mask, and end the gateway."""
    viewer = panel.viewer
    shown = (tomogram.name, f"{tomogram.name} · membrane")
    for layer in viewer.layers:
        layer.visible = layer.name in shown
    viewer.layers.selection.active = viewer.layers[tomogram.name]
    viewer.reset_view()
    panel.show_panel(panel.messages)
    stack.kill("gateway")
    camera.until(lambda: panel.controller.server.state.phase == "waiting", "the loss to be noticed")
    camera.take("messages", wait_s=1.0)


if __name__ == "__main__":
    main()
