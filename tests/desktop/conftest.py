"""A display, the controllers with and without panels, and records for the models.

Which binding of Qt the tests use is chosen as for the program: ``QT_API=pyqt6`` or ``QT_API=pyside6``.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobEvent, JobRecord, JobState, Progress, VolumeSummary
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.testing import DEADLINE_S
from cryomamba.volumes import write_volume
from napari_cryomamba.app.settings import SettingsFile
from napari_cryomamba.models.submission import JobSubmission

RecordMaker = Callable[..., JobRecord]
FrameMaker = Callable[..., PreviewFrame]
SubmissionMaker = Callable[..., JobSubmission]
WaitFor = Callable[..., Any]

# A wait for a panel also ends at the first error that it shows.
DEADLINE_MS = int(1000 * DEADLINE_S)

# Without Qt's libraries none of these tests can be imported.
HAS_QT = ctypes.util.find_library("EGL") is not None
collect_ignore_glob = [] if HAS_QT else ["test_*.py"]
if HAS_QT:
    # napari's own import warns of pydantic's future; what we do ourselves must not warn. It also loads the binding of
    # QT_API, which pytest-qt then takes, too.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import napari.layers
        import napari.qt  # noqa: F401

THIRD_PARTY = (
    "ignore::DeprecationWarning:npe2",
    "ignore::DeprecationWarning:app_model",
    "ignore::DeprecationWarning:napari[.]",
    "ignore::FutureWarning:napari[.]",
    "ignore::DeprecationWarning:vispy",
    "ignore:Conversion from CIE-LAB:UserWarning",
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let third parties' warnings pass, in this folder alone."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for text in THIRD_PARTY:
                item.add_marker(pytest.mark.filterwarnings(text))


@contextlib.contextmanager
def screen() -> Iterator[str]:
    """Yield the name of the display, or of an Xvfb that runs as long as the context."""
    if present := os.environ.get("DISPLAY"):
        yield present
        return
    if shutil.which("Xvfb") is None:
        pytest.skip("neither a display nor Xvfb is installed")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"]
    process = subprocess.Popen(command, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as number:
        name = f":{number.readline().strip()}"
    try:
        yield name
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="session")
def qapp_args(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Provide a display before the application starts, and a folder of the tests for napari's settings."""
    with screen() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISPLAY", name)
        patch.setenv("QT_QPA_PLATFORM", "xcb")
        patch.setenv("NAPARI_CONFIG", str(tmp_path_factory.mktemp("napari") / "settings.yaml"))
        yield ["cryomamba"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory for each test."""
    for name in [name for name in os.environ if name.startswith("CRYOMAMBA_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("CRYOMAMBA_HOME", str(folder))
    monkeypatch.setenv("CRYOMAMBA_PROCESSES", "1")
    return folder


@pytest.fixture(scope="session")
def phantom_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic tomogram of 48 × 96 × 96 voxels of 13 Å."""
    path = tmp_path_factory.mktemp("data") / "vesicles.mrc"
    spec = PhantomSpec(shape=(48, 96, 96), voxel_size_A=(13.0, 13.0, 13.0), seed=3, noise=1.0)
    write_volume(path, synthesize(spec).density, spec.voxel_size_A)
    return path


@pytest.fixture
def make_record() -> RecordMaker:
    """Make job records whose history fits their state."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)

    def make(job_id: str = "job-1", state: JobState = JobState.RUNNING, *, n: int = 2, **fields: Any) -> JobRecord:
        kind = {
            JobState.PENDING: "job_created",
            JobState.RUNNING: "job_started",
            JobState.COMPLETED: "job_completed",
            JobState.FAILED: "job_failed",
            JobState.CANCELLED: "job_cancelled",
        }[state]
        attempt = fields.get("attempt", 1)
        at = begin + timedelta(seconds=n)
        event = JobEvent(n=n, type=kind, job_id=job_id, state=state, attempt=attempt, at=at)
        given: dict[str, Any] = {
            "name": "vesicles",
            "engine": "membrane",
            "params": {},
            "volume": VolumeSummary(name="vesicles.mrc", shape=(48, 96, 96), voxel_size_A=(13.0, 13.0, 13.0)),
            "attempt": attempt,
            "progress": Progress(),
            "created_at": begin,
            "updated_at": at,
            "history": (event,),
            **fields,
        }
        return JobRecord(job_id=job_id, state=state, **given)

    return make


@pytest.fixture
def make_frame() -> FrameMaker:
    """Make preview frames: a block of label 1 in a corner, factor 2."""

    def make(job_id: str = "job-1", *, seq: int = 1, label: int = 1, **fields: Any) -> PreviewFrame:
        mask = np.zeros((24, 48, 48), np.uint8)
        mask[:, :20, :10] = label
        given: dict[str, Any] = {
            "scale": (2, 2, 2),
            "volume_shape": (48, 96, 96),
            "voxel_size_A": (13.0, 13.0, 13.0),
            "progress": 0.5,
            "engine": "membrane",
            "labels": {1: "membrane"},
            **fields,
        }
        return PreviewFrame(job_id=job_id, mask=mask, seq=seq, ts=1000.0 + seq, **given)

    return make


@pytest.fixture
def make_submission(phantom_file: Path) -> SubmissionMaker:
    """Make submissions of the phantom."""
    from napari_cryomamba.layers.tomogram import open_tomogram

    def make(engine: str, **params: Any) -> JobSubmission:
        source = open_tomogram(phantom_file).source
        return JobSubmission(source=source, engine=engine, params=params, name="", preview_interval_s=0.1)

    return make


@pytest.fixture
def settings_file(home: Path) -> SettingsFile:
    """The file of the desktop's settings."""
    return SettingsFile(home / "desktop.json")


@pytest.fixture
def viewer() -> Any:
    """A viewer without a window."""
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def notifications(qapp: Any) -> Any:
    """Notifications of a panel that is tested alone."""
    from napari_cryomamba.app.notifications import Notifications

    return Notifications()


@pytest.fixture
def mask() -> Any:
    """Two boxes of label 1 (8 and 36 voxels) and one hollow box of label 2."""
    found = np.zeros((12, 16, 20), np.uint8)
    found[1:3, 1:3, 1:3] = 1
    found[5:8, 5:8, 1:5] = 1
    found[2:9, 9:15, 9:16] = 2
    found[4:6, 11:13, 11:13] = 0
    return found


@pytest.fixture
def tasks(notifications: Any) -> Iterator[Any]:
    """Tasks of a panel that is tested alone."""
    from napari_cryomamba.app.task_runner import TaskRunner

    runner = TaskRunner(notifications)
    yield runner
    runner.close()


@pytest.fixture
def controller(qapp: Any, viewer: Any, settings_file: SettingsFile) -> Iterator[Any]:
    """The controllers over a viewer without a window, connected to nothing."""
    from napari_cryomamba.app.controller import AppController

    found = AppController(viewer, file=settings_file)
    yield found
    found.close()


@pytest.fixture
def panel(qtbot: Any, viewer: Any, settings_file: SettingsFile) -> Iterator[Any]:
    """All panels over a viewer without a window, connected to nothing."""
    from napari_cryomamba.widgets import CryoMambaWidget

    widget = CryoMambaWidget(viewer, settings=settings_file, connect=False)
    qtbot.addWidget(widget, before_close_func=lambda found: found.shut_down())
    yield widget
    widget.shut_down()


@contextlib.contextmanager
def opened_window(settings: SettingsFile) -> Iterator[tuple[Any, Any]]:
    """Open the window with the panel, connected to nothing, for as long as the context."""
    from tests.desktop.window_contents import process_events

    from napari_cryomamba.window import open_window

    viewer, panel = open_window(server="tcp://127.0.0.1:1", settings=settings)
    yield viewer, panel
    if not panel.closed:
        panel.shut_down()
        viewer.close()
    process_events()


@pytest.fixture(scope="module")
def window(qapp: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """A window with the panel for the whole module, because opening one takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("CRYOMAMBA_HOME", str(home))
        with opened_window(SettingsFile(home / "desktop.json")) as found:
            yield found


@pytest.fixture
def opened(window: tuple[Any, Any], phantom_file: Path) -> Iterator[tuple[Any, Any]]:
    """The window with a tomogram that napari opened by itself."""
    viewer, _ = window
    viewer.open(str(phantom_file), plugin="cryomamba")
    yield window
    viewer.dims.ndisplay = 2
    viewer.layers.clear()


@pytest.fixture
def new_window(qapp: Any, settings_file: SettingsFile) -> Iterator[tuple[Any, Any]]:
    """A window with the panel for one test."""
    with opened_window(settings_file) as found:
        yield found


@pytest.fixture
def wait_for(qtbot: Any) -> WaitFor:
    """Wait until a condition is true, and return its value; the first error among `notifications` ends the wait."""

    def wait(condition: Callable[[], Any], notifications: Any = None) -> Any:
        def met() -> bool:
            errors = [] if notifications is None else notifications.history.entries
            for entry in errors:
                assert entry.level != "error", f"{entry.context}: {entry.text} {entry.hint}"
            return bool(condition())

        qtbot.waitUntil(met, timeout=DEADLINE_MS)
        return condition()

    return wait
