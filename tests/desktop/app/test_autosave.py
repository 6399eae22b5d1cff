"""How often edits are saved automatically."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_cryomamba.app import autosave as autosave_module
from napari_cryomamba.app.autosave import Autosave

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop


def test_a_large_mask_is_saved_less_often(
    controller: Any, viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_for: WaitFor
) -> None:
    """However large, edits are written, but a mask no more often than it takes at the allowed bytes per second."""
    now = [0.0]
    mask = viewer.add_labels(np.zeros((10, 10, 10), np.uint8))
    monkeypatch.setattr(autosave_module, "BYTES_PER_S", mask.data.nbytes / 100)
    found = Autosave(viewer, controller.edits, controller.tasks, tmp_path / "saved", clock=lambda: now[0])
    saved: list[float] = []
    found.saved.connect(lambda: saved.append(now[0]))
    try:
        for turn in range(14):
            now[0] = 30.0 * turn
            mask.paint((5, 5, 5), turn % 2 + 1)
            found.save_now()
            wait_for(lambda: found.idle, controller.notifications)
    finally:
        found.close(keep=False)
    assert saved == [90.0, 180.0, 270.0, 360.0]
