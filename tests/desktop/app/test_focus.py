"""When the part in view is sent to the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from napari_cryomamba.app.focus import Focus

if TYPE_CHECKING:
    from tests.desktop.conftest import RecordMaker, WaitFor

pytestmark = pytest.mark.desktop


class Jobs:
    """The source of all jobs: it records what it is asked to compute first."""

    def __init__(self) -> None:
        self.positions: list[tuple[float, float, float]] = []

    def source(self, _job_id: str) -> Jobs:
        return self

    def focus(self, _job_id: str, position: tuple[float, float, float]) -> None:
        self.positions.append(position)


class Preview:
    """One running job, whose tomogram is not open."""

    def __init__(self, record: Any) -> None:
        self.record = record

    def running(self) -> list[Any]:
        return [self.record]

    def tomogram_of(self, _record: Any) -> None:
        return None


def test_only_the_slice_where_the_user_stops_is_sent(
    qapp: Any, viewer: Any, make_record: RecordMaker, wait_for: WaitFor
) -> None:
    """However many slices are passed without a pause, one position is sent: the last, in voxels."""
    viewer.dims.ndim = 3
    viewer.dims.range = ((0, 63, 1.3), (0, 63, 1.3), (0, 63, 1.3))
    jobs: Any = Jobs()
    preview: Any = Preview(make_record())
    focus = Focus(viewer, jobs, preview)
    try:
        for step in range(5, 31):
            viewer.dims.set_current_step(0, step)
        wait_for(lambda: jobs.positions)
        [position] = jobs.positions
        assert position[0] == pytest.approx(30.0)
    finally:
        focus.close()
