"""End to end: services, network, panels and pixels, over both transports."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mrcfile
import numpy as np
import pytest

from cryomamba.models.jobs import JobRecord, JobState
from cryomamba.settings import Settings
from cryomamba.testing import Service, Stack
from cryomamba.volumes import write_volume
from cryomamba_server.tokens import Scope, TokenStore
from napari_cryomamba.app.settings import SettingsFile
from napari_cryomamba.layers.tomograms import tomogram_layers
from napari_cryomamba.models.connection import Phase
from napari_cryomamba.models.frames import FrameStore
from napari_cryomamba.models.notifications import bug_report
from napari_cryomamba.net.bridge import Bridge
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = [pytest.mark.desktop, pytest.mark.system]

DEMO = {"seconds": 30.0}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, phantom_file: Path) -> Iterator[Stack]:
    """A stack with short leases for the whole module; a test that kills a service starts it again."""
    with Stack(tmp_path_factory.mktemp("stack"), roots=[phantom_file.parent], env={"CRYOMAMBA_LEASE_S": "2"}) as found:
        yield found.start().wait_ready()


@pytest.fixture
def desktop(window: tuple[Any, CryoMambaWidget], phantom_file: Path, wait_for: WaitFor) -> Iterator[CryoMambaWidget]:
    """The panel with the tomogram open."""
    viewer, panel = window
    viewer.window.resize(1300, 800)
    panel.controller.tomograms.open_files([phantom_file])
    wait_for(lambda: tomogram_layers(viewer), panel.controller.notifications)
    yield panel
    for job in panel.controller.jobs.table.unfinished():
        panel.controller.jobs.cancel(job.job_id)
    viewer.layers.clear()
    panel.controller.notifications.history.clear()


class Driver:
    """Presses buttons, and waits for their effects."""

    def __init__(self, panel: CryoMambaWidget, wait_for: WaitFor) -> None:
        self.panel, self.controller, self.until = panel, panel.controller, wait_for

    def connect(self, url: str) -> None:
        self.panel.connection.address.setCurrentText(url)
        self.panel.connection.connect_now()
        self.until(
            lambda: self.controller.server.state.phase is Phase.CONNECTED and self.controller.server.state.url == url
        )

    def start(self, engine: str, **parameters: float) -> str:
        before = set(self.controller.jobs.table.mine)
        segment = self.panel.segment
        self.until(lambda: segment.engine.findText(engine) >= 0)
        segment.engine.setCurrentText(engine)
        for name, value in parameters.items():
            segment.form.editors[name].editor.setValue(value)
        self.until(segment.submit_button.isEnabled)
        segment.submit_button.click()
        [job_id] = self.until(lambda: self.controller.jobs.table.mine - before)
        return str(job_id)

    def state(self, job_id: str) -> JobState:
        job = self.controller.jobs.table.get(job_id)
        assert job is not None
        return job.record.state

    def record(self, job_id: str) -> JobRecord:
        job = self.controller.jobs.table.get(job_id)
        assert job is not None
        return job.record

    def shown(self, job_id: str) -> int:
        return self.controller.frames[job_id].statistics.shown

    def shows_more(self, job_id: str, seen: int) -> bool:
        return self.shown(job_id) > seen

    def messages(self) -> str:
        return "\n".join(notification.text for notification in self.controller.notifications.history.entries)


@pytest.fixture
def driver(desktop: CryoMambaWidget, wait_for: WaitFor) -> Driver:
    return Driver(desktop, wait_for)


def canvas_pixels(viewer: Any, qapp: Any) -> np.ndarray:
    """Return what the canvas shows, RGB."""
    qapp.processEvents()
    return np.asarray(viewer.screenshot(canvas_only=True, flash=False))[..., :3].astype(int)


def expect_overlay_where_mask_is(viewer: Any, layer: Any, qapp: Any) -> None:
    """Compare the canvas with the mask of the shown section, voxel by voxel, through the camera."""
    tomogram = viewer.layers[0]
    pixels = canvas_pixels(viewer, qapp)
    height, width = pixels.shape[:2]
    centre, zoom = np.array(viewer.scene.camera.center[-2:]), viewer.scene.camera.zoom
    z = viewer.dims.point[0]
    hits = misses = 0
    ratio = viewer.window._qt_window.devicePixelRatio()
    for y in range(4, tomogram.data.shape[1] - 4, 7):
        for x in range(4, tomogram.data.shape[2] - 4, 7):
            world = np.array(tomogram.data_to_world((0, y, x)))
            value = layer.get_value((z, *world[1:]), world=True)
            around = [
                layer.get_value((z, world[1] + dy, world[2] + dx), world=True)
                for dy in (-1.3, 1.3)
                for dx in (-1.3, 1.3)
            ]
            if any(other != value for other in around):
                continue  # an edge: which side a pixel falls on is the camera's affair
            row, column = ((world[1:] - centre) * zoom * ratio + np.array([height, width]) / 2).astype(int)
            if not (0 <= row < height and 0 <= column < width):
                continue
            green = pixels[row, column, 1] > pixels[row, column, 0] + 60
            if value:
                hits += 1
                assert green, f"voxel {(y, x)} is in the mask, but its pixel {pixels[row, column]} is not"
            else:
                misses += 1
                assert not green, f"voxel {(y, x)} is not in the mask, but its pixel {pixels[row, column]} is"
    assert hits > 3, "the section shows nothing of the mask"
    assert misses > 3, "the section shows nothing but the mask"


@pytest.mark.parametrize("transport", ["http", "bus"])
def test_a_job_is_watched_to_its_end_over_the_tomogram(
    driver: Driver, stack: Stack, transport: str, window: tuple[Any, Any], qapp: Any, qtbot: Any
) -> None:
    """Previews are drawn on the tomogram, the finished mask replaces them, and only its pixels are green."""
    viewer, _ = window
    driver.connect(stack.http_url if transport == "http" else stack.bus_url)
    job_id = driver.start("demo", seconds=4.0)
    driver.until(lambda: driver.shown(job_id) >= 2)
    overlay = driver.controller.preview.overlays[job_id]
    assert not overlay.final
    assert np.count_nonzero(overlay.layer.data)
    assert driver.panel.jobs.preview.text().startswith("Preview")

    driver.until(lambda: overlay.final)
    overlay.layer.opacity = 1.0
    driver.panel.mask_panel.show_layer(overlay.layer)
    for label in overlay.palette.labels:
        driver.panel.mask_panel.set_color(label, "#00ff00")
    full = int(np.argmax([np.count_nonzero(plane) for plane in overlay.layer.data]))
    viewer.dims.set_current_step(0, full)
    expect_overlay_where_mask_is(viewer, overlay.layer, qapp)
    assert driver.state(job_id) is JobState.COMPLETED
    written = stack.home / "artifacts" / job_id / "mask.mrc"
    with mrcfile.open(written) as file:
        np.testing.assert_array_equal(np.asarray(overlay.layer.data), file.data.astype(np.uint8))


def test_scrolling_sends_the_position_in_view(
    driver: Driver, stack: Stack, window: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last position that the server gets is the voxel where the user stopped."""
    from cryomamba.client import AsyncClient

    sent: list[tuple[float, float, float]] = []
    real = AsyncClient.focus

    async def focus(self: AsyncClient, job_id: str, position: tuple[float, float, float]) -> None:
        await real(self, job_id, position)
        sent.append(position)

    monkeypatch.setattr(AsyncClient, "focus", focus)
    driver.connect(stack.bus_url)
    job_id = driver.start("demo", **DEMO)
    driver.until(lambda: driver.state(job_id) is JobState.RUNNING)
    for step in range(5, 31):
        window[0].dims.set_current_step(0, step)
    driver.until(lambda: sent and sent[-1][0] == pytest.approx(30, abs=0.01))
    driver.panel.jobs.select(job_id)
    driver.panel.jobs.cancel_button.click()
    driver.until(lambda: driver.state(job_id) is JobState.CANCELLED)


def test_a_refused_job_says_why(driver: Driver, stack: Stack, tmp_path: Path, window: tuple[Any, Any]) -> None:
    """A tomogram that the server cannot see makes no job over a direct connection; a message says what to do."""
    outside = tmp_path / "outside.mrc"
    outside.write_bytes(driver.panel.segment.layer.metadata["cryomamba"].path.read_bytes())
    driver.panel.controller.tomograms.open_files([outside])
    driver.until(lambda: driver.panel.segment.tomogram.findText("outside.mrc") >= 0)
    driver.connect(stack.bus_url)
    driver.panel.segment.tomogram.setCurrentText("outside.mrc")
    driver.panel.segment.engine.setCurrentText("threshold")
    driver.until(driver.panel.segment.submit_button.isEnabled)
    driver.panel.segment.submit_button.click()
    driver.until(lambda: driver.controller.notifications.history.unread)
    notification = driver.controller.notifications.history.entries[-1]
    assert notification.code == "path_forbidden"
    assert notification.hint
    assert not driver.controller.jobs.table.unfinished()


def test_a_restarted_desktop_finds_its_jobs_again(driver: Driver, stack: Stack, qtbot: Any, phantom_file: Path) -> None:
    """A second desktop with the same settings lists the job, and watches it once the tomogram is open."""
    from napari.components import ViewerModel

    driver.connect(stack.http_url)
    job_id = driver.start("demo", **DEMO)
    driver.until(lambda: driver.shown(job_id) >= 1)
    again = CryoMambaWidget(ViewerModel(), settings=SettingsFile(driver.controller.preferences.file.path))
    try:
        again.controller.tomograms.open_files([phantom_file])
        driver.until(lambda: again.controller.preview.is_watched(job_id))
        driver.until(lambda: again.controller.frames[job_id].statistics.shown >= 1)
        assert again.controller.preview.overlays[job_id].in_viewer
    finally:
        again.shut_down()
        again.deleteLater()
    driver.controller.jobs.cancel(job_id)
    driver.until(lambda: driver.state(job_id) is JobState.CANCELLED)


def test_a_file_that_the_server_cannot_see_is_uploaded(
    driver: Driver, stack: Stack, tmp_path: Path, window: tuple[Any, Any]
) -> None:
    """The tomogram is uploaded, its job is watched over it, and the corrected mask is saved with the job."""
    viewer, panel = window
    outside = tmp_path / "outside.mrc"
    outside.write_bytes(panel.segment.layer.metadata["cryomamba"].path.read_bytes())
    panel.controller.tomograms.open_files([outside])
    driver.until(lambda: panel.segment.tomogram.findText("outside.mrc") >= 0)
    driver.connect(stack.http_url)
    panel.segment.tomogram.setCurrentText("outside.mrc")
    steps: list[tuple[str, float]] = []
    driver.controller.jobs.changed.connect(
        lambda: steps.extend((job.state_text, job.progress.fraction) for job in driver.controller.jobs.table.rows)
    )
    job_id = driver.start("threshold")
    assert {("Reading the file", 0.0), ("Reading the file", 1.0), ("Uploading", 1.0)} <= set(steps)
    assert [job.job_id for job in driver.controller.jobs.table.rows if job.record.name == "outside.mrc"] == [job_id]
    overlay = driver.until(lambda: driver.controller.preview.overlays.get(job_id))
    driver.until(lambda: overlay.final)
    assert overlay.tomogram is viewer.layers["outside.mrc"]

    panel.mask_panel.show_layer(overlay.layer)
    first = int(overlay.layer.data[0, 0, 0])
    overlay.layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 1 - first)
    panel.export.comment.setText("a corner")
    panel.export.job_button.click()
    driver.until(lambda: driver.record(job_id).revisions)
    written = stack.home / "artifacts" / job_id / "mask_r1.mrc"
    with mrcfile.open(written) as file:
        np.testing.assert_array_equal(np.asarray(overlay.layer.data), file.data.astype(np.uint8))
    assert driver.record(job_id).history[-1].reason == "a corner"
    version = panel.mask_panel.version
    assert [version.itemText(row) for row in range(version.count())] == ["Original result", "Version 1"]
    version.activated.emit(0)
    driver.until(lambda: overlay.layer.data[0, 0, 0] == first)


def test_an_upload_can_be_cancelled(
    driver: Driver, stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload is cancelled, and the server deletes its parts."""
    from cryomamba.client.http_transport import HttpTransport

    uploading = threading.Event()
    real = HttpTransport.request

    async def stuck(self: Any, method: str, path: str, **more: Any) -> Any:
        if "/part/" in path:
            uploading.set()
            await asyncio.Event().wait()
        return await real(self, method, path, **more)

    monkeypatch.setattr(HttpTransport, "request", stuck)
    unknown = tmp_path / "unknown.mrc"
    write_volume(unknown, np.random.default_rng(5).standard_normal((8, 16, 16), np.float32), 10.0)
    driver.connect(stack.http_url)
    panel = driver.panel
    panel.controller.tomograms.open_files([unknown])
    driver.until(lambda: panel.segment.tomogram.findText("unknown.mrc") >= 0)
    panel.segment.tomogram.setCurrentText("unknown.mrc")
    panel.segment.upload_mode.setCurrentIndex(2)
    panel.segment.engine.setCurrentText("threshold")
    driver.until(panel.segment.submit_button.isEnabled)
    panel.segment.submit_button.click()
    panel.segment.upload_mode.setCurrentIndex(0)
    driver.until(uploading.is_set)
    row = driver.controller.jobs.table.rows[0].job_id
    panel.jobs.select(row)
    panel.jobs.cancel_button.click()
    driver.until(lambda: driver.state(row) is JobState.CANCELLED)
    incoming = stack.home / "uploads" / "incoming"
    driver.until(lambda: not [path for path in incoming.iterdir() if not path.name.startswith(".")])
    panel.jobs.remove_button.click()
    assert driver.controller.jobs.table.get(row) is None


def test_a_token_is_requested_and_saved(driver: Driver, tmp_path: Path) -> None:
    """A gateway that requires a token refuses, and a field for it appears; with the token it is connected."""
    with Stack(tmp_path / "locked") as stack:
        token, _ = TokenStore(Settings(home=stack.home).keys).create("ada", [Scope.WRITE], days=1)
        stack.start("broker", "gateway")
        panel = driver.panel
        panel.connection.address.setCurrentText(stack.http_url)
        panel.connection.connect_now()
        driver.until(lambda: driver.controller.server.state.phase is Phase.REFUSED)
        assert not panel.connection.token_row.isHidden()
        assert "token" in panel.connection.text.text()
        panel.connection.token.setText(token)
        panel.connection.save_token.setChecked(True)
        assert panel.connection.button.text() == "Connect"
        panel.connection.button.click()
        driver.until(lambda: driver.controller.server.usable)
        assert panel.connection.token_row.isHidden()
        assert driver.controller.preferences.file.load().tokens == {stack.http_url: token}
        assert token not in bug_report(driver.controller.notifications.history.entries)
        panel.connection.address.setCurrentText("tcp://127.0.0.1:1")
        panel.connection.connect_now()


@pytest.mark.parametrize("transport", ["http", "bus"])
def test_crashes_are_notified_and_the_job_continues(driver: Driver, stack: Stack, transport: str) -> None:
    """Gateway, broker and worker are killed in turn: the user is notified, and the watched job continues."""
    driver.connect(stack.http_url if transport == "http" else stack.bus_url)
    job_id = driver.start("demo", **DEMO)
    driver.until(lambda: driver.shown(job_id) >= 1)
    services: list[Service] = ["gateway", "broker"] if transport == "http" else ["broker"]
    for service in services:
        # The end of an old connection may be noticed late, and is then a loss of its own.
        driver.until(lambda: driver.controller.server.state.phase.usable)
        driver.controller.notifications.history.clear()
        stack.kill(service)
        driver.until(lambda: driver.controller.server.state.phase is Phase.WAITING)
        assert "lost" in driver.messages()
        stack.start(service)
        driver.until(lambda: driver.controller.server.state.phase.usable)
        seen = driver.shown(job_id)
        driver.until(partial(driver.shows_more, job_id, seen))
        assert "Connected again" in driver.messages()
    driver.controller.notifications.history.clear()
    stack.kill("inference")
    driver.until(lambda: "ended" in driver.messages())
    driver.until(lambda: driver.controller.server.state.phase is Phase.DEGRADED)
    stack.start("inference")
    seen = driver.shown(job_id)
    driver.until(lambda: driver.shown(job_id) > seen and driver.state(job_id) is JobState.RUNNING)
    driver.controller.jobs.cancel(job_id)
    driver.until(lambda: driver.state(job_id).final)
    driver.panel.connection.address.setCurrentText("tcp://127.0.0.1:1")
    driver.panel.connection.connect_now()


@pytest.mark.parametrize("transport", ["http", "bus"])
def test_connections_leak_nothing(stack: Stack, transport: str, wait_for: WaitFor) -> None:
    """Connecting and closing twenty times leaves no thread and no open file behind."""

    def once() -> None:
        bridge, phases = Bridge(FrameStore()), []
        bridge.message_received.connect(
            lambda message: phases.append(getattr(getattr(message, "state", None), "phase", None))
        )
        bridge.open(stack.http_url if transport == "http" else stack.bus_url)
        wait_for(lambda: Phase.CONNECTED in phases)
        bridge.close()
        bridge.deleteLater()

    once()
    threads, files = threading.active_count(), count_files()
    for _ in range(20):
        once()
    gc.collect()
    wait_for(lambda: threading.active_count() <= threads)
    assert count_files() <= files + 5


def test_panels_leak_nothing(window: tuple[Any, CryoMambaWidget], wait_for: WaitFor, qapp: Any) -> None:
    """Docking and closing the panel twenty times leaves no thread, open file, dock, menu or layer behind."""
    viewer, _ = window
    menus = len(viewer.window.main_menu.actions())

    def once() -> None:
        panel = CryoMambaWidget(viewer, connect=False)
        viewer.window.add_dock_widget(panel, name="another")
        viewer.window.remove_dock_widget(panel)
        panel.deleteLater()

    once()
    qapp.processEvents()
    threads, files, docks = threading.active_count(), count_files(), len(viewer.window.dock_widgets)
    for _ in range(20):
        once()
    qapp.processEvents()
    gc.collect()
    wait_for(lambda: threading.active_count() <= threads)
    assert count_files() <= files + 5
    assert len(viewer.window.dock_widgets) == docks
    assert len(viewer.window.main_menu.actions()) == menus
    assert len(viewer.layers) == 0


def count_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
