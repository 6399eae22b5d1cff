from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from cryomamba.volumes import Volume, open_volume, write_volume
from cryomamba.volumes.exports import slabs, write_nifti

ALL = slice(None)


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_nibabel_reads_values_axes_units_and_place(volume: Volume, array: Any, tmp_path: Path, name: str) -> None:
    """Indices are x, y, z; the affine has voxel size and origin, in ångström, a unit that NIfTI lacks."""
    write_nifti(volume, tmp_path / name)
    image: Any = nibabel.load(tmp_path / name)
    assert np.array_equal(np.asarray(image.dataobj).T, array)
    assert image.header.get_xyzt_units()[0] == "unknown"
    assert b"lengths in angstrom" in image.header["descrip"].item()
    for affine in (image.get_sform(), image.get_qform()):
        assert np.diag(affine)[:3] == pytest.approx([13.48, 10.0, 12.0], rel=1e-6)
        assert affine[:3, 3] == pytest.approx([100.25, 20.5, -30.0], rel=1e-6)
    assert np.all(image.affine[:3, :3] == np.diag(np.diag(image.affine)[:3]))


def test_a_mask_is_unsigned_and_written_in_many_slabs(
    mask: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels come back as uint8, whatever the size of a slab, and progress ends at one."""
    monkeypatch.setattr(slabs, "SLAB_NBYTES", 1 << 15)
    reported: list[float] = []
    write_nifti(mask, tmp_path / "m.nii.gz", labels=True, progress=reported.append)
    image: Any = nibabel.load(tmp_path / "m.nii.gz")
    assert image.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(image.dataobj).T, mask.read(ALL, ALL, ALL))
    assert len(reported) > 10
    assert reported[-1] == 1.0


def test_the_same_mask_gives_the_same_bytes(mask: Volume, tmp_path: Path) -> None:
    """The file contains no time and no file name."""
    write_nifti(mask, tmp_path / "a.nii.gz", labels=True)
    write_nifti(mask, tmp_path / "b.nii.gz", labels=True)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_a_side_beyond_16_bits_becomes_nifti_2(tmp_path: Path) -> None:
    """NIfTI-1 counts sides in 16 bits; longer ones are written as NIfTI-2."""
    array = np.arange(40000, dtype=np.float32).reshape(1, 1, 40000)
    write_volume(tmp_path / "long.mrc", array, 10.0)
    with open_volume(tmp_path / "long.mrc") as volume:
        write_nifti(volume, tmp_path / "long.nii")
    image: Any = nibabel.load(tmp_path / "long.nii")
    assert isinstance(image, nibabel.Nifti2Image)
    assert np.array_equal(np.asarray(image.dataobj).T, array)
