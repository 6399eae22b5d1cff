from __future__ import annotations

from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest

from cryomamba.volumes import Volume
from cryomamba.volumes.exports import slabs, write_nrrd

ALL = slice(None)


def test_pynrrd_reads_values_directions_units_and_place(volume: Volume, array: Any, tmp_path: Path) -> None:
    """x is fastest; directions and origin have the unit ångström."""
    write_nrrd(volume, tmp_path / "v.nrrd")
    data, header = nrrd.read(str(tmp_path / "v.nrrd"), index_order="C")
    assert np.array_equal(data, array)
    assert header["sizes"].tolist() == [9, 7, 5]
    assert np.array_equal(header["space directions"], np.diag([13.48, 10.0, 12.0]))
    assert header["space origin"].tolist() == [100.25, 20.5, -30.0]
    assert header["space units"] == ["angstrom"] * 3
    assert header["space"] == "right-anterior-superior"


def test_a_mask_is_unsigned_packed_and_the_same_every_time(
    mask: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels come back as uint8 from a gzip stream of many slabs; two exports are equal to the byte."""
    monkeypatch.setattr(slabs, "SLAB_NBYTES", 1 << 15)
    for name in ("a.nrrd", "b.nrrd"):
        write_nrrd(mask, tmp_path / name, labels=True)
    data, header = nrrd.read(str(tmp_path / "a.nrrd"), index_order="C")
    assert data.dtype == np.uint8
    assert header["encoding"] == "gzip"
    assert np.array_equal(data, mask.read(ALL, ALL, ALL))
    assert (tmp_path / "a.nrrd").read_bytes() == (tmp_path / "b.nrrd").read_bytes()


def test_an_exception_from_progress_discards_the_file(mask: Volume, tmp_path: Path) -> None:
    """A cancelled export leaves no file."""

    def stop(_: float) -> None:
        raise InterruptedError

    before = set(tmp_path.iterdir())
    with pytest.raises(InterruptedError):
        write_nrrd(mask, tmp_path / "m.nrrd", labels=True, progress=stop)
    assert set(tmp_path.iterdir()) == before
