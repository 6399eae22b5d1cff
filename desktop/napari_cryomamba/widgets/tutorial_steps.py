"""When each step of the tutorial is done, by what the panels show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from napari_cryomamba.layers.tomograms import tomogram_layers
from napari_cryomamba.models.tutorial import TUTORIAL_ENGINE, Step

if TYPE_CHECKING:
    from napari_cryomamba.widgets.main import CryoMambaWidget
    from napari_cryomamba.widgets.tutorial import Condition


def tutorial_conditions(panel: CryoMambaWidget) -> Mapping[Step, Callable[[], Condition]]:
    """Return for each step what to call when it begins; that returns a function that is true once the step is done."""
    app, viewer = panel.controller, panel.viewer

    def job_is_started() -> Condition:
        before = {job.job_id for job in app.jobs.table.rows}
        return lambda: any(job.job_id not in before for job in app.jobs.table.rows)

    def mask_is_saved() -> Condition:
        status = panel.export.status
        before = status.text()
        return lambda: status.text() != before and status.text().startswith("Mask saved")

    return {
        Step.OPEN: lambda: lambda: bool(tomogram_layers(viewer)),
        Step.ENGINE: lambda: (
            lambda: panel.segment.isVisible() and panel.segment.engine.currentText() == TUTORIAL_ENGINE
        ),
        Step.RUN: job_is_started,
        Step.WATCH: lambda: lambda: any(overlay.final for overlay in app.preview.overlays.values()),
        Step.LOOK: lambda: lambda: viewer.dims.ndisplay == 3,
        Step.MEASURE: lambda: lambda: bool(panel.statistics.rows),
        Step.SAVE: mask_is_saved,
    }
