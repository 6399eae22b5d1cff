"""Slices of masks as inline pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cryomamba import notebook
from cryomamba.errors import VolumeError
from cryomamba.volumes import write_volume


def test_a_slice_becomes_a_picture_of_its_labels() -> None:
    """One colour a label, the background another, whatever the labels' numbers."""
    plane = np.array([[0, 1, 2], [300, 0, 0]], np.uint16)
    with Image.open(io.BytesIO(notebook.png(plane))) as image:
        assert image.size == (3, 2)
        pixels = np.asarray(image.convert("RGB"))
    colours = {tuple(pixels[index]): plane[index] for index in np.ndindex(plane.shape)}
    assert tuple(pixels[0, 0]) == notebook.PALETTE[0] == tuple(pixels[1, 2])
    assert len(colours) == len({0, 1, 2, 300})


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 700, 20), (5, 40, 2000)])
def test_the_central_slice_is_small(shape: tuple[int, int, int]) -> None:
    """It is the middle one, at most as large as it is shown."""
    mask = np.zeros(shape, np.uint8)
    mask[shape[0] // 2] = 1
    plane = notebook.central_slice(mask)
    assert max(plane.shape) <= notebook.WIDTH_PX
    assert plane.all()


def test_a_mask_on_disk_is_not_read_whole(tmp_path: Path) -> None:
    """Its middle slice is; what is no volume is an error."""
    mask = np.zeros((5, 4, 6), np.int8)
    mask[2] = 1
    write_volume(tmp_path / "mask.mrc", mask, 10.0)
    assert notebook.slice_of_file(tmp_path / "mask.mrc").all()
    with pytest.raises(VolumeError):
        notebook.slice_of_file(tmp_path / "nothing.mrc")


def test_texts_are_escaped() -> None:
    """A file name is never markup."""
    shown = notebook.card("<script>", {"a&b": "<b>"}, fraction=0.5)
    assert "<script>" not in shown
    assert "<b>" not in shown
    assert "a&amp;b" in shown
