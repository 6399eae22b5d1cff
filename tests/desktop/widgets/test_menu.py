"""The menu: masks of other programs are opened through its dialog."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog
from tests import mask_flavours

from napari_cryomamba.layers.tomogram import source_of
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

OpenMasks = Callable[[list[Path]], None]

pytestmark = pytest.mark.desktop


@pytest.fixture
def open_masks(panel: CryoMambaWidget, monkeypatch: pytest.MonkeyPatch) -> OpenMasks:
    """Choose files in the dialog of "Open mask…"."""

    def choose(paths: list[Path]) -> None:
        chosen = ([str(path) for path in paths], "")
        monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_args, **_options: chosen)
        (action,) = (one for one in panel.menu.actions() if one.text() == "Open &mask…")
        action.trigger()

    return choose


def test_masks_in_every_flavour_become_labels(
    panel: CryoMambaWidget, open_masks: OpenMasks, tmp_path: Path, wait_for: WaitFor
) -> None:
    """Files that are chosen together become one layer of labels each, with the labels that every other part reads."""
    paths = {
        flavour: mask_flavours.write(tmp_path / f"{n}.mrc", flavour) for n, flavour in enumerate(mask_flavours.GOOD)
    }
    open_masks(list(paths.values()))
    layers = panel.viewer.layers
    wait_for(lambda: len(layers) == len(paths), panel.controller.notifications)
    found = {source.path.name: layer for layer in layers if (source := source_of(layer))}
    for flavour, path in paths.items():
        layer = found[path.name]
        assert type(layer).__name__ == "Labels", flavour
        np.testing.assert_array_equal(np.asarray(layer.data), mask_flavours.expected(flavour), err_msg=flavour)


@pytest.mark.parametrize("flavour", list(mask_flavours.REFUSED))
def test_what_is_no_mask_is_refused_with_a_reason(
    panel: CryoMambaWidget, open_masks: OpenMasks, tmp_path: Path, wait_for: WaitFor, flavour: str
) -> None:
    """A notification says why, and there is no layer; a mask that was chosen beside it is opened."""
    bad = mask_flavours.write(tmp_path / "bad.mrc", flavour)
    open_masks([bad, mask_flavours.write(tmp_path / "good.mrc", "16-bit integers")])
    history = panel.controller.notifications.history
    wait_for(lambda: len(panel.viewer.layers) == 1 and history.entries)
    (entry,) = (one for one in history.entries if one.level == "error")
    assert entry.text
    assert entry.hint
