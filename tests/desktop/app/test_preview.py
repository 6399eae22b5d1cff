"""When previews are drawn, without panels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from napari.layers import Layer

from cryomamba.models.jobs import VolumeSummary
from napari_cryomamba.app.controller import AppController
from napari_cryomamba.layers.tomogram import open_tomogram
from napari_cryomamba.net.messages import FrameReady, JobChanged

if TYPE_CHECKING:
    from tests.desktop.conftest import FrameMaker, RecordMaker

pytestmark = pytest.mark.desktop


@pytest.fixture
def tomogram(viewer: Any, phantom_file: Path) -> Any:
    """The tomogram of the jobs, open in the viewer."""
    return viewer.add_layer(Layer.create(*open_tomogram(phantom_file).layer()))


@pytest.fixture
def watched(controller: AppController, tomogram: Any, make_record: RecordMaker, phantom_file: Path) -> AppController:
    """The controllers with a running job, ``job-1``, that is watched."""
    volume = VolumeSummary(
        name="vesicles.mrc", shape=(48, 96, 96), voxel_size_A=(13.0, 13.0, 13.0), path=str(phantom_file)
    )
    controller.jobs.table.adopt("job-1")
    controller.on_message(JobChanged(make_record(volume=volume)))
    controller.preview.show_job("job-1")
    return controller


def test_frames_that_arrive_too_fast_are_not_queued(watched: AppController, make_frame: FrameMaker) -> None:
    """Of a hundred frames between two turns of the event loop, the newest alone is drawn."""
    drawn: list[str] = []
    watched.preview.frame_drawn.connect(drawn.append)
    queue = watched.frames["job-1"]
    woken = [queue.put(make_frame(seq=seq)) for seq in range(100)]
    assert woken == [True] + [False] * 99
    watched.on_message(FrameReady("job-1"))
    watched.on_message(FrameReady("job-1"))
    assert drawn == ["job-1"]
    assert queue.statistics.skipped == 99


def test_the_preview_lies_right_above_its_tomogram(
    watched: AppController, viewer: Any, tomogram: Any, make_frame: FrameMaker
) -> None:
    """The first frame makes a layer on the job's own tomogram."""
    watched.frames["job-1"].put(make_frame())
    watched.preview.draw("job-1")
    assert list(viewer.layers) == [tomogram, watched.preview.overlays["job-1"].layer]


def test_a_deleted_layer_stays_away_until_the_job_is_shown_again(
    watched: AppController, viewer: Any, make_frame: FrameMaker
) -> None:
    """The next frame does not bring it back; showing the job does."""
    preview, frames = watched.preview, watched.frames
    frames["job-1"].put(make_frame())
    preview.draw("job-1")
    viewer.layers.remove(preview.overlays["job-1"].layer)
    frames["job-1"].put(make_frame(seq=2))
    preview.draw("job-1")
    assert "job-1" not in preview.overlays
    preview.show_job("job-1")
    frames["job-1"].put(make_frame(seq=3))
    preview.draw("job-1")
    assert preview.overlays["job-1"].in_viewer


def test_a_restarted_job_gets_a_new_layer(watched: AppController, viewer: Any, make_frame: FrameMaker) -> None:
    """What the earlier attempt found does not stay in the viewer."""
    watched.frames["job-1"].put(make_frame())
    watched.preview.draw("job-1")
    first = watched.preview.overlays["job-1"].layer
    watched.jobs.restarted.emit("job-1")
    assert first not in viewer.layers
    watched.frames["job-1"].put(make_frame(seq=2))
    watched.preview.draw("job-1")
    assert watched.preview.overlays["job-1"].layer is not first


def test_names_and_colours_of_a_job_stay(
    watched: AppController, viewer: Any, make_frame: FrameMaker, settings_file: Any
) -> None:
    """What the user has named stays when the layer is removed and shown again, and at the next start."""
    watched.frames["job-1"].put(make_frame())
    watched.preview.draw("job-1")
    palette = watched.preview.overlays["job-1"].palette
    palette.rename(1, "outer membrane")
    watched.preferences.values.remember_names("job-1", palette.names)
    viewer.layers.remove(watched.preview.overlays["job-1"].layer)
    watched.preview.show_job("job-1")
    watched.frames["job-1"].put(make_frame(seq=2))
    watched.preview.draw("job-1")
    assert watched.preview.overlays["job-1"].palette.name(1) == "outer membrane"
    watched.preferences.save()
    assert settings_file.load().label_names == {"job-1": {1: "outer membrane"}}
