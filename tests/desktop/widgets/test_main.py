"""All panels together, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobError, JobState
from napari_cryomamba.models.jobs import JobKind
from napari_cryomamba.net.messages import JobChanged
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop


@pytest.fixture
def opened(panel: CryoMambaWidget, phantom_file: Path, wait_for: WaitFor) -> CryoMambaWidget:
    """The panels with an open tomogram, and the engines of this process."""
    panel.controller.tomograms.open_files([phantom_file])
    wait_for(lambda: panel.tomogram.measured and panel.controller.jobs.local_engines, panel.controller.notifications)
    return panel


def test_a_broken_file_is_a_message(panel: CryoMambaWidget, tmp_path: Path, wait_for: WaitFor) -> None:
    """A file that is not a tomogram adds no layer; the reason is seen at once and is a message that the tab counts."""
    path = tmp_path / "broken.mrc"
    path.write_bytes(b"nothing")
    panel.controller.tomograms.open_files([path])
    wait_for(lambda: len(panel.controller.notifications.history) == 1)
    assert panel.controller.notifications.history.entries[0].code == str(ErrorCode.VOLUME_UNREADABLE)
    messages = panel.tabs.indexOf(panel.messages)
    assert panel.tabs.tabText(messages) == "Messages (1)"
    assert not panel.failure.isHidden()
    assert "broken.mrc" in panel.failure.text.text()
    panel.tabs.setCurrentIndex(messages)
    assert panel.failure.isHidden()
    assert panel.tabs.tabText(messages) == "Messages"


def test_everything_local_works_without_a_server(opened: CryoMambaWidget, wait_for: WaitFor, tmp_path: Path) -> None:
    """A local job segments the tomogram; its mask can be measured, edited, undone, saved and exported."""
    segment = opened.segment
    assert not segment.submit_button.isEnabled()
    segment.engine.setCurrentText("threshold")
    segment.local_button.click()
    [overlay] = wait_for(
        lambda: [o for o in opened.controller.preview.overlays.values() if o.final], opened.controller.notifications
    )
    assert overlay.job_id.startswith(JobKind.LOCAL)
    assert overlay.layer.data.shape == (48, 96, 96)
    job = opened.controller.jobs.table.rows[0]
    assert (job.record.state, job.kind) == (JobState.COMPLETED, JobKind.LOCAL)

    opened.statistics.measure_button.click()
    rows = wait_for(lambda: opened.statistics.rows, opened.controller.notifications)
    whole = int(np.count_nonzero(overlay.layer.data))
    assert rows[0].cells[3] == whole
    assert opened.statistics.table.rowCount() == len(rows)
    opened.statistics.save_csv(tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text().startswith("kind,label,name")

    least = 1000 * 2.197
    opened.edit.min_volume.setValue(least)
    opened.edit.remove_button.click()
    wait_for(opened.edit.isEnabled, opened.controller.notifications)
    left = int(np.count_nonzero(overlay.layer.data))
    assert left == sum(row.cells[3] for row in rows if row.cells[2] != "all" and row.cells[4] >= least) < whole
    assert opened.statistics.measure_button.text() == "Measure again"
    overlay.layer.undo()
    assert int(np.count_nonzero(overlay.layer.data)) == whole

    saved = tmp_path / "kept.mrc"
    opened.export.save_to(saved)
    wait_for(saved.exists, opened.controller.notifications)
    opened.export.export_to(tmp_path / "kept.star")
    wait_for((tmp_path / "kept.star").exists, opened.controller.notifications)


def test_a_job_that_fails_in_the_background_interrupts_nothing(panel: CryoMambaWidget, make_record: Any) -> None:
    """Its error is in the table and in the messages; only what answers an action is shown over the tab."""
    error = JobError(code=ErrorCode.ENGINE_FAILED, message="It broke.", attempt=1)
    panel.controller.jobs.table.adopt("job-1")
    panel.controller.on_message(JobChanged(make_record()))
    panel.controller.on_message(JobChanged(make_record(state=JobState.FAILED, n=3, errors=(error,))))
    assert panel.controller.notifications.history.entries[-1].text == "It broke."
    assert panel.failure.isHidden()
