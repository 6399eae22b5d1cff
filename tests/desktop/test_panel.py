"""The panel, without a server."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QLabel

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.models.jobs import JobState, VolumeSummary
from napari_cryomamba.app.settings import SettingsFile
from napari_cryomamba.layers.tomogram import source_of
from napari_cryomamba.models.jobs import JobKind
from napari_cryomamba.models.notifications import Level, Notification
from napari_cryomamba.net.messages import FrameReady, JobChanged
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import FrameMaker, RecordMaker

pytestmark = pytest.mark.desktop
WAIT_MS = 90_000


@pytest.fixture
def opened(panel: CryoMambaWidget, phantom_file: Path, qtbot: Any) -> CryoMambaWidget:
    """The panel with the tomogram open and measured, and this process's engines found."""
    panel.controller.tomograms.open_files([phantom_file])
    qtbot.waitUntil(lambda: "Mean ± sd" in texts(panel) and bool(panel.controller.jobs.local_engines), timeout=WAIT_MS)
    return panel


def texts(panel: CryoMambaWidget) -> str:
    return "\n".join(label.text() for label in panel.tomogram.findChildren(QLabel))


def test_metadata_and_statistics_are_shown(opened: CryoMambaWidget) -> None:
    """Name, shape, size, voxel size, mode and intensities stand in the panel; the scale bar is on."""
    shown = texts(opened)
    for part in ("48 × 96 × 96 voxels", "62 × 125 × 125 nm", "13.000 Å", "2 (float32)", "Mean ± sd", "Range"):
        assert part in shown
    assert opened.viewer.canvas.overlays.scale_bar.visible
    assert opened.controller.preferences.values.recent_files[0].endswith("vesicles.mrc")


def test_a_corrected_voxel_size_moves_the_layer(opened: CryoMambaWidget) -> None:
    """The field for the voxel size changes layer and metadata, and refuses nonsense with a message."""
    for box, value in zip(opened.tomogram.sizes, (20.0, 10.0, 10.0), strict=True):
        box.setValue(value)
    opened.tomogram.apply.click()
    layer = opened.viewer.layers[0]
    np.testing.assert_allclose(layer.scale, [2.0, 1.0, 1.0])
    source = source_of(layer)
    assert source is not None
    assert source.corrected


def test_a_broken_file_is_a_message(panel: CryoMambaWidget, tmp_path: Path, qtbot: Any) -> None:
    """A file that is no tomogram adds no layer; the reason stands among the messages, and the tab counts it."""
    path = tmp_path / "broken.mrc"
    path.write_bytes(b"nothing")
    panel.controller.tomograms.open_files([path])
    qtbot.waitUntil(lambda: len(panel.controller.notifications.history) == 1, timeout=WAIT_MS)
    assert panel.controller.notifications.history.entries[0].code == str(ErrorCode.VOLUME_UNREADABLE)
    assert panel.tabs.tabText(4) == "Messages (1)"
    panel.tabs.setCurrentIndex(4)
    assert panel.tabs.tabText(4) == "Messages"


def test_everything_local_works_without_a_server(opened: CryoMambaWidget, qtbot: Any, tmp_path: Path) -> None:
    """'Run here' segments in this process; the mask can be measured, edited, undone, saved and exported."""
    segment = opened.segment
    assert not segment.submit_button.isEnabled()
    segment.engine.setCurrentText("threshold")
    segment.local_button.click()
    [overlay] = wait_for(lambda: [o for o in opened.controller.preview.overlays.values() if o.final], qtbot)
    assert overlay.job_id.startswith(JobKind.LOCAL)
    assert overlay.layer.data.shape == (48, 96, 96)
    job = opened.controller.jobs.table.rows[0]
    assert (job.record.state, job.kind) == (JobState.COMPLETED, JobKind.LOCAL)

    opened.statistics.measure_button.click()
    rows = wait_for(lambda: opened.statistics.rows, qtbot)
    whole = int(np.count_nonzero(overlay.layer.data))
    assert rows[0].cells[3] == whole
    assert opened.statistics.table.rowCount() == len(rows)
    opened.statistics.save_csv(tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text().startswith("kind,label,name")

    least = 1000 * 2.197
    opened.edit.min_volume.setValue(least)
    opened.edit.remove_button.click()
    wait_for(opened.edit.isEnabled, qtbot)
    left = int(np.count_nonzero(overlay.layer.data))
    assert left == sum(row.cells[3] for row in rows if row.cells[2] != "all" and row.cells[4] >= least) < whole
    assert opened.statistics.measure_button.text() == "Measure again"
    overlay.layer.undo()
    assert int(np.count_nonzero(overlay.layer.data)) == whole

    saved = tmp_path / "kept.mrc"
    opened.export.save_to(saved)
    wait_for(saved.exists, qtbot)
    opened.export.export_to(tmp_path / "kept.star")
    wait_for((tmp_path / "kept.star").exists, qtbot)


def wait_for(condition: Any, qtbot: Any) -> Any:
    qtbot.waitUntil(lambda: bool(condition()), timeout=WAIT_MS)
    return condition()


def test_a_local_job_can_be_cancelled(opened: CryoMambaWidget, qtbot: Any) -> None:
    """Cancelling a job of this process ends it as cancelled, and its thread with it."""
    opened.segment.engine.setCurrentText("demo")
    opened.segment.local_button.click()
    job = wait_for(lambda: opened.controller.jobs.table.rows, qtbot)[0]
    opened.jobs.select(job.job_id)
    opened.jobs.cancel_button.click()
    wait_for(lambda: opened.controller.jobs.table.rows[0].record.state is JobState.CANCELLED, qtbot)
    wait_for(lambda: not any(JobKind.LOCAL in thread.name for thread in threading.enumerate()), qtbot)


def test_the_form_says_what_does_not_fit(opened: CryoMambaWidget) -> None:
    """A wrong value shows a sentence at its field and keeps the button from being pressed."""
    opened.segment.engine.setCurrentText("threshold")
    form = opened.segment.form
    name, editor = next((n, e) for n, e in form.editors.items() if e.field.optional)
    editor.editor.setText("not a number")
    assert not editor.problem.isHidden()
    assert not form.valid
    assert not opened.segment.local_button.isEnabled()
    editor.editor.setText("")
    assert editor.problem.isHidden()
    assert opened.segment.local_button.isEnabled()
    opened.segment.show_rejection(
        InvalidRequestError("No.", details={"fields": [{"field": f"params.{name}", "problem": "Too odd."}]})
    )
    assert editor.problem.text() == "Too odd."


def test_frames_that_come_too_fast_never_queue(
    opened: CryoMambaWidget, make_record: RecordMaker, make_frame: FrameMaker, phantom_file: Path
) -> None:
    """A hundred frames between two looks at the events are one drawing of the newest."""
    volume = VolumeSummary(
        name="vesicles.mrc", shape=(48, 96, 96), voxel_size_A=(13.0, 13.0, 13.0), path=str(phantom_file)
    )
    desk = opened.controller
    desk.jobs.table.adopt("job-1")
    desk.on_message(JobChanged(make_record(volume=volume)))
    desk.preview._watched.add("job-1")
    drawn: list[str] = []
    desk.preview.frame_drawn.connect(drawn.append)
    queue = desk.frames["job-1"]
    wakes = [queue.put(make_frame(seq=seq)) for seq in range(100)]
    assert wakes == [True] + [False] * 99
    desk.on_message(FrameReady("job-1"))
    desk.on_message(FrameReady("job-1"))
    assert drawn == ["job-1"]
    assert queue.statistics.skipped == 99


def test_a_deleted_overlay_stays_away_while_the_job_goes_on(
    opened: CryoMambaWidget, make_record: RecordMaker, make_frame: FrameMaker
) -> None:
    """A person who deletes the layer is not shown the next frame; 'Show' brings it back."""
    desk = opened.controller
    desk.jobs.table.adopt("job-1")
    desk.on_message(JobChanged(make_record()))
    desk.preview.show_job("job-1")
    desk.frames["job-1"].put(make_frame())
    desk.preview.draw("job-1")
    opened.viewer.layers.remove(desk.preview.overlays["job-1"].layer)
    desk.frames["job-1"].put(make_frame(seq=2))
    desk.preview.draw("job-1")
    assert "job-1" not in desk.preview.overlays
    desk.preview.show_job("job-1")
    desk.frames["job-1"].put(make_frame(seq=3))
    desk.preview.draw("job-1")
    assert desk.preview.overlays["job-1"].in_viewer


def test_looks_of_the_mask_can_be_changed(
    opened: CryoMambaWidget, make_record: RecordMaker, make_frame: FrameMaker
) -> None:
    """Opacity, outlines, colour, name and visibility of the panel act on the layer, and are remembered."""
    desk = opened.controller
    desk.jobs.table.adopt("job-1")
    desk.on_message(JobChanged(make_record()))
    desk.preview.show_job("job-1")
    desk.frames["job-1"].put(make_frame())
    desk.preview.draw("job-1")
    layer, mask = desk.preview.overlays["job-1"].layer, opened.mask_panel
    assert "(preview)" in mask.title.text()
    mask.opacity.setValue(0.25)
    mask.style_box.setCurrentIndex(1)
    mask.width_box.setValue(3)
    mask.visible_box.setChecked(False)
    mask.set_color(1, "#00ff00")
    name = mask.labels.item(0, 1)
    assert name is not None
    name.setText("ER")
    assert (layer.opacity, layer.contour, layer.visible) == (0.25, 3, False)
    np.testing.assert_allclose(layer.colormap.map(1), [0, 1, 0, 1])
    assert desk.preview.overlays["job-1"].palette.name(1) == "ER"
    assert not opened.statistics.measure_button.isEnabled()
    assert desk.preferences.values.contour == 3


def test_a_failed_job_shows_its_error_and_can_be_taken_away(panel: CryoMambaWidget, make_record: RecordMaker) -> None:
    """The error of the selected job stands below the table; a removed job is remembered as removed."""
    from cryomamba.models.jobs import JobError

    error = JobError(code=ErrorCode.ENGINE_FAILED, message="It broke.", hint="Mend it.", attempt=1)
    panel.controller.jobs.table.adopt("job-1")
    panel.controller.on_message(JobChanged(make_record()))
    panel.controller.on_message(JobChanged(make_record(state=JobState.FAILED, n=3, errors=(error,))))
    assert panel.jobs.error.text() == "It broke. Mend it."
    assert panel.jobs.retry_button.isEnabled()
    newest = panel.messages.list.item(0)
    assert newest is not None
    assert newest.text().endswith("It broke.\n→ Mend it.")
    panel.jobs.remove_button.click()
    assert panel.controller.jobs.table.rows == []
    again = SettingsFile(panel.controller.preferences.file.path).load()
    assert again.hidden_jobs == ["job-1"]


def test_messages_have_details_and_a_report(panel: CryoMambaWidget, qapp: Any) -> None:
    """Code and request id are shown on demand, and the report holds them."""
    panel.controller.notifications.notify(
        Notification(Level.ERROR, "Away.", "Wait.", code="unavailable", request_id="r-9")
    )
    panel.messages.detail_button.setChecked(True)
    assert "Request: r-9" in panel.messages.detail.text()
    panel.messages.copy_button.click()
    assert "request_id: r-9" in qapp.clipboard().text()


def test_a_server_that_is_not_there_is_said_calmly(panel: CryoMambaWidget, qtbot: Any) -> None:
    """The light turns, the text counts down, one message is made, and the address is remembered."""
    from cryomamba.testing import free_ports

    [port] = free_ports(1)
    panel.connection.address.setCurrentText(f"http://127.0.0.1:{port}")
    panel.connection.connect_now()
    wait_for(lambda: panel.controller.server.state.phase == "waiting", qtbot)
    assert panel.connection.text.text().startswith("Reconnecting")
    assert panel.connection.button.text() == "Reconnect now"
    panel.connection.button.click()
    panel.connection.address.setCurrentText("nonsense")
    assert panel.connection.button.text() == "Connect"
    panel.connection.button.click()
    wait_for(lambda: panel.controller.server.state.phase == "refused", qtbot)
    assert "nonsense" in panel.connection.text.text()
    assert [notification.level for notification in panel.controller.notifications.history.entries] == [
        Level.WARNING,
        Level.WARNING,
    ]
    assert panel.controller.preferences.values.servers[0] == "nonsense"


def test_the_threshold_of_a_finished_mask_moves(opened: CryoMambaWidget, qtbot: Any) -> None:
    """The slider shows at once what it does; going back leaves the mask as it was, applying makes it so."""
    segment, desk = opened.segment, opened.controller
    segment.engine.setCurrentText("membrane")
    segment.local_button.click()
    [overlay] = wait_for(lambda: [o for o in desk.preview.overlays.values() if o.final], qtbot)
    panel, layer = opened.threshold, overlay.layer
    first = layer.data
    panel.load_button.click()
    wait_for(lambda: not panel.controls.isHidden(), qtbot)
    assert not panel.apply_button.isEnabled()
    panel.use_low.setChecked(False)
    panel.min_volume.setValue(0)
    panel.high.setValue(120)
    wait_for(lambda: not panel.is_computing, qtbot)
    assert overlay.temporary
    assert not layer.editable
    assert "new threshold" in opened.mask_panel.title.text()
    assert not opened.statistics.measure_button.isEnabled()
    few = int(np.count_nonzero(layer.data[24]))
    panel.high.setValue(60)
    assert int(np.count_nonzero(layer.data[24])) > few
    panel.discard_button.click()
    assert layer.data is first
    assert layer.editable
    panel.use_low.setChecked(False)
    panel.min_volume.setValue(0)
    panel.high.setValue(60)
    whole = np.asarray(layer.data).copy()
    panel.apply_button.click()
    wait_for(lambda: not overlay.temporary and layer.data is not first, qtbot)
    np.testing.assert_array_equal(np.asarray(layer.data), whole)
    assert opened.statistics.measure_button.isEnabled()
    assert not panel.server_button.isVisible()


def test_local_jobs_are_there_after_a_restart(opened: CryoMambaWidget, qtbot: Any) -> None:
    """The table, and the mask of a job that ran here, outlive the desktop; removing the job removes its files."""
    opened.segment.engine.setCurrentText("threshold")
    opened.segment.name.setText("mine")
    opened.segment.local_button.click()
    wait_for(lambda: [o for o in opened.controller.preview.overlays.values() if o.final], qtbot)
    opened.shut_down()
    again = CryoMambaWidget(
        ViewerModel(), settings=SettingsFile(opened.controller.preferences.file.path), connect=False
    )
    qtbot.addWidget(again, before_close_func=lambda found: found.shut_down())
    [job] = again.controller.jobs.table.rows
    assert (job.record.name, job.record.state) == ("mine", JobState.COMPLETED)
    again.controller.preview.show_job(job.job_id)
    [overlay] = wait_for(lambda: [o for o in again.controller.preview.overlays.values() if o.final], qtbot)
    assert overlay.tomogram in again.viewer.layers
    again.jobs.select(job.job_id)
    again.jobs.remove_button.click()
    assert again.controller.jobs.table.rows == []
    assert list(again.controller.jobs.local.folder.iterdir()) == []
    again.shut_down()


def test_a_cancelled_local_job_can_be_run_again(opened: CryoMambaWidget, qtbot: Any) -> None:
    """Retry begins it anew under the same row."""
    opened.segment.engine.setCurrentText("demo")
    opened.segment.form.editors["seconds"].editor.setValue(20)
    opened.segment.local_button.click()
    job = wait_for(lambda: opened.controller.jobs.table.rows, qtbot)[0]
    for _ in range(2):
        opened.jobs.cancel_button.click()
        wait_for(lambda: opened.controller.jobs.table.rows[0].record.state is JobState.CANCELLED, qtbot)
        opened.jobs.retry_button.click()
        wait_for(lambda: opened.controller.jobs.table.rows[0].record.state is JobState.RUNNING, qtbot)
    assert [row.job_id for row in opened.controller.jobs.table.rows] == [job.job_id]
    opened.jobs.cancel_button.click()
    wait_for(lambda: opened.controller.jobs.table.rows[0].record.state is JobState.CANCELLED, qtbot)


def test_what_was_entered_comes_back(opened: CryoMambaWidget, qtbot: Any) -> None:
    """Engine and parameters of the last job are there at the next start; 'Defaults' sets them back."""
    opened.segment.engine.setCurrentText("threshold")
    opened.segment.form.editors["sigma_A"].editor.setValue(33)
    opened.segment.local_button.click()
    opened.shut_down()
    again = CryoMambaWidget(
        ViewerModel(), settings=SettingsFile(opened.controller.preferences.file.path), connect=False
    )
    qtbot.addWidget(again, before_close_func=lambda found: found.shut_down())
    wait_for(lambda: again.segment.form.editors, qtbot)
    assert again.segment.engine.currentText() == "threshold"
    assert again.segment.form.parameters == {"sigma_A": 33.0}
    again.segment.reset_button.click()
    assert again.segment.form.parameters == {}
    again.shut_down()


def test_rethreshold_is_not_offered_for_tomograms(opened: CryoMambaWidget) -> None:
    """It takes scores, so the mask's tab offers it."""
    assert opened.segment.engine.findText("threshold") >= 0
    assert opened.segment.engine.findText("rethreshold") < 0
