"""Segmentation in one line, in scripts and in notebooks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import cryomamba
from cryomamba.errors import InvalidRequestError, VolumeError
from cryomamba.models.jobs import Progress
from cryomamba.volumes import open_volume


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYOMAMBA_PROCESSES", "1")


def test_a_mask_in_one_line(make_volume: Any, tmp_path: Path) -> None:
    """A path in, a mask with its statistics out, under the usual name; a table of them is one line more."""
    path, seen = make_volume(), list[Progress]()
    result = cryomamba.segment(path, engine="threshold", output=tmp_path, progress=seen.append, sigma_A=0)
    assert result.mask == tmp_path / f"{path.stem}__threshold.mrc"
    with open_volume(result.mask) as mask:
        voxels = int((mask.read_native(slice(None), slice(None), slice(None)) != 0).sum())
    assert int(pd.DataFrame(result.statistics)["voxels"].sum()) == voxels > 0
    assert len(pd.DataFrame(result.instances)) == len(result.instances) > 0
    assert seen[-1].fraction == 1.0


def test_a_result_shows_itself_in_a_notebook(make_volume: Any, tmp_path: Path) -> None:
    """With a running event loop in the thread; without its file it shows the numbers alone."""

    async def cell() -> cryomamba.Segmentation:
        return cryomamba.segment(make_volume(), engine="threshold", output=tmp_path / "mask.mrc")

    result = asyncio.run(cell())
    shown = result._repr_html_()
    assert "data:image/png;base64," in shown
    assert "voxels" in shown
    result.mask.unlink()
    assert "data:image/png" not in result._repr_html_()


def test_what_cannot_be_segmented_is_an_error(make_volume: Any, tmp_path: Path) -> None:
    """A missing file, an unknown engine, a parameter that does not fit, and a folder that is not there."""
    path = make_volume()
    with pytest.raises(VolumeError):
        cryomamba.segment(tmp_path / "nothing.mrc", engine="threshold", output=tmp_path)
    with pytest.raises(InvalidRequestError):
        cryomamba.segment(path, engine="nobody", output=tmp_path)
    with pytest.raises(InvalidRequestError):
        cryomamba.segment(path, engine="threshold", output=tmp_path, no_such_parameter=1)
    with pytest.raises(InvalidRequestError, match="folder"):
        cryomamba.segment(path, engine="threshold", output=tmp_path / "nowhere" / "mask.mrc")
    assert not list(tmp_path.glob("*__*"))
