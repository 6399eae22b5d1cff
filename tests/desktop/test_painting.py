"""Painted in a minute: a real window and real services; strokes, live updates, the model, and the next tomogram."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cryomamba.engines.artifacts import model_files
from cryomamba.masks.strokes import load_strokes
from cryomamba.models.jobs import JobState
from cryomamba.testing import Stack
from cryomamba.volumes import write_volume
from napari_cryomamba.layers.tomograms import tomogram_layers
from napari_cryomamba.models.connection import Phase
from napari_cryomamba.models.painted_strokes import PaintedStrokes
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = [pytest.mark.desktop, pytest.mark.system]
SHAPE = (24, 96, 100)


@pytest.fixture(scope="module")
def tomogram(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dark and a bright ball in noise."""
    density = np.random.default_rng(3).normal(0, 1, SHAPE).astype(np.float32)
    z, y, x = np.indices(SHAPE)
    density[(z - 12) ** 2 + (y - 30) ** 2 + (x - 30) ** 2 < 100] -= 5
    density[(z - 12) ** 2 + (y - 70) ** 2 + (x - 70) ** 2 < 100] += 5
    path = tmp_path_factory.mktemp("painting") / "balls.mrc"
    write_volume(path, density, 10.0)
    return path


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, tomogram: Path) -> Iterator[Stack]:
    """All services."""
    with Stack(tmp_path_factory.mktemp("stack"), roots=[tomogram.parent]) as found:
        yield found.start().wait_ready()


@pytest.fixture
def desktop(window: tuple[Any, CryoMambaWidget], tomogram: Path, wait_for: WaitFor) -> Iterator[CryoMambaWidget]:
    """The panel with the tomogram open and the engine chosen."""
    viewer, panel = window
    panel.controller.tomograms.open_files([tomogram])
    wait_for(lambda: tomogram_layers(viewer), panel.controller.notifications)
    wait_for(lambda: panel.segment.engine.findText("pixels") >= 0)
    panel.segment.engine.setCurrentText("pixels")
    yield panel
    for job in panel.controller.jobs.table.unfinished():
        panel.controller.jobs.cancel(job.job_id)
    viewer.layers.clear()
    panel.controller.notifications.history.clear()


def stroke(panel: CryoMambaWidget, label: int, *points: tuple[int, int, int]) -> None:
    """Paint a stroke as the mouse does, which is one step of the layer's history."""
    painting = panel.controller.painting
    painting.choose(label)
    with painting.layer.block_history():
        for point in points:
            painting.layer.paint(point, label + 1)


def labels_at(panel: CryoMambaWidget, *points: tuple[int, int, int]) -> tuple[int, ...]:
    """The labels that the newest job shows."""
    job = panel.controller.painting.job
    overlay = panel.controller.preview.overlays.get(job.job_id) if job is not None else None
    if overlay is None:
        return ()
    data, scale = overlay.layer.data, overlay.scale
    return tuple(int(data[tuple(a // s for a, s in zip(point, scale, strict=True))]) for point in points)


DARK, BRIGHT, EMPTY = (12, 30, 30), (12, 70, 70), (12, 20, 80)


def paint_first(panel: CryoMambaWidget) -> None:
    """Paint the dark ball and some background."""
    paint = panel.segment.paint
    assert paint is not None
    paint.paint_button.click()
    stroke(panel, 1, (12, 30, 26), (12, 30, 30), (12, 30, 34))
    stroke(panel, 0, (12, 8, 20), (12, 8, 30), (12, 8, 40), (12, 88, 20), (12, 50, 50), (12, 70, 50))


def test_strokes_train_a_job_that_takes_more_while_it_runs(
    desktop: CryoMambaWidget, stack: Stack, wait_for: WaitFor, tmp_path: Path
) -> None:
    """A label is found after a click; a second that is painted while the job runs, or after its end, is found without
    one; undo is seen too, and the model that was learned is saved."""
    panel, app = desktop, desktop.controller
    panel.connection.address.setCurrentText(stack.http_url)
    panel.connection.connect_now()
    wait_for(lambda: app.server.state.phase is Phase.CONNECTED)
    paint = panel.segment.paint
    assert paint is not None
    assert not paint.isHidden()
    paint_first(panel)
    wait_for(lambda: "background" in paint.status.text())
    wait_for(panel.segment.submit_button.isEnabled)
    panel.segment.submit_button.click()
    wait_for(lambda: labels_at(panel, DARK, EMPTY) == (1, 0), app.notifications)

    paint.add_button.click()
    paint.labels.item(2).setText("bright")
    stroke(panel, 2, (12, 70, 66), (12, 70, 70), (12, 70, 74))
    wait_for(lambda: labels_at(panel, DARK, BRIGHT, EMPTY) == (1, 2, 0), app.notifications)
    wait_for(lambda: app.painting.job is not None and app.painting.job.state is JobState.COMPLETED)
    assert labels_at(panel, DARK, BRIGHT, EMPTY) == (1, 2, 0)

    wait_for(paint.model_button.isEnabled)
    paint.save_model_in(tmp_path)
    wait_for(lambda: all((tmp_path / name).exists() for name in model_files()))
    assert '2 = "bright"' in (tmp_path / "model.toml").read_text("utf-8")

    before = app.painting.job
    app.painting.layer.undo()
    wait_for(lambda: app.painting.job is not None and app.painting.job != before)
    wait_for(lambda: labels_at(panel, DARK, EMPTY) == (1, 0))
    wait_for(lambda: app.painting.job is not None and app.painting.job.state is JobState.COMPLETED)
    assert labels_at(panel, BRIGHT) != (2,)


def test_without_a_server_a_model_is_trained_and_used_here(
    desktop: CryoMambaWidget, wait_for: WaitFor, tmp_path: Path
) -> None:
    """The job runs on this computer, and its model, saved in a folder, segments without strokes."""
    panel, app = desktop, desktop.controller
    paint = panel.segment.paint
    assert paint is not None
    paint_first(panel)
    panel.segment.local_button.click()
    wait_for(lambda: app.painting.job is not None and app.painting.job.state.final, app.notifications)
    assert labels_at(panel, DARK, EMPTY) == (1, 0)
    wait_for(paint.model_button.isEnabled)
    paint.save_model_in(tmp_path)
    wait_for(lambda: all((tmp_path / name).exists() for name in model_files()))
    panel.segment.form.fill({"model": str(tmp_path)})
    before = len(app.jobs.table.rows)
    panel.segment.local_button.click()
    wait_for(lambda: len(app.jobs.table.rows) > before)
    wait_for(lambda: app.jobs.table.rows[0].record.state.final)
    record = app.jobs.table.rows[0].record
    assert (record.state, record.params) == (JobState.COMPLETED, {"model": str(tmp_path)}), record.errors
    panel.segment.form.fill({})


def test_painted_voxels_become_strokes_and_come_back(tmp_path: Path) -> None:
    """What is painted, with names of labels, is the same after it was saved and opened."""
    painted = PaintedStrokes((5, 6, 7))
    assert painted.strokes() is None
    painted.array[2, 3, 4], painted.array[2, 3, 5], painted.array[4, 0, 0] = 1, 1, 2
    painted.touch([2, 4])
    painted.rename(1, "carbon")
    strokes = painted.strokes()
    assert strokes is not None
    (tmp_path / "s.json").write_text(strokes.to_json())
    again = PaintedStrokes((5, 6, 7))
    again.show(load_strokes(tmp_path / "s.json"))
    np.testing.assert_array_equal(again.array, painted.array)
    assert again.summary == "Voxels painted: background 2, carbon 1."
    assert again.strokes() == strokes
    again.array[:] = 0
    assert again.strokes() is None
