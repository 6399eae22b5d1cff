"""The mask that a layer shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Labels

from cryomamba.errors import InvalidRequestError
from napari_cryomamba.layers.masks import PREVIEW, mask_of


def test_a_preview_cannot_be_saved() -> None:
    """A coarse preview cannot be measured, edited or saved by mistake."""
    found = mask_of(Labels(np.zeros((2, 2, 2), np.uint8)), None)
    assert found is not None
    found.require_finished()
    with pytest.raises(InvalidRequestError, match="coarse preview"):
        replace(found, not_ready=PREVIEW).require_finished()
