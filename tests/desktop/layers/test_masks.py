"""The mask that a layer shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Labels, Layer

from cryomamba.errors import InvalidRequestError
from napari_cryomamba.app.revisions import save_mask
from napari_cryomamba.layers.masks import PREVIEW, mask_of
from napari_cryomamba.layers.tomogram import open_tomogram


def test_a_preview_cannot_be_saved() -> None:
    """A coarse preview cannot be measured, edited or saved by mistake."""
    found = mask_of(Labels(np.zeros((2, 2, 2), np.uint8)), None)
    assert found is not None
    found.require_finished()
    with pytest.raises(InvalidRequestError, match="coarse preview"):
        replace(found, not_ready=PREVIEW).require_finished()


def test_names_of_labels_are_in_the_file(tmp_path: Path, phantom_file: Path) -> None:
    """A saved mask that is opened has the names of its labels and a colour for each, also when it is saved again."""
    labels = np.zeros((48, 96, 96), np.uint8)
    labels[0, 0, :2] = 1, 2
    header = open_tomogram(phantom_file).source.header
    for _ in range(2):
        path = tmp_path / "vesicles__mine.mrc"
        save_mask(path, labels, header, (13.0, 13.0, 13.0), engine="mine", names={1: "outer", 2: "Hülle"})
        opened = open_tomogram(path)
        header = opened.source.header
        layer = Layer.create(*opened.layer())
        found = mask_of(layer, None)
        assert found is not None
        assert found.palette.names == {1: "outer", 2: "Hülle"}
        assert set(layer.colormap.color_dict) >= {1, 2}
