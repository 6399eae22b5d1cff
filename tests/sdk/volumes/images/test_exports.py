"""Exports of this program, read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cryomamba.volumes import open_volume, write_volume
from cryomamba.volumes.exports import write_ome_zarr, write_tiff
from cryomamba.volumes.images import open_image

SIZE_A = (8.0, 5.0, 5.0)


@pytest.mark.parametrize(("write", "name"), [(write_tiff, "t.ome.tif"), (write_ome_zarr, "t.ome.zarr")])
@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.uint16])
def test_an_export_is_read_back(tmp_path: Path, write: Callable[..., None], name: str, dtype: type[np.generic]) -> None:
    """Voxels, voxel size and whether they are labels are those that were exported."""
    noise, labels = np.random.default_rng(1).normal(0, 1, (20, 70, 90)), dtype is not np.float32
    stored = ((noise > 1) * (300 if dtype is np.uint16 else 3) if labels else noise).astype(dtype)
    write_volume(tmp_path / "t.mrc", stored, SIZE_A, dtype=str(stored.dtype))
    with open_volume(tmp_path / "t.mrc") as volume:
        write(volume, tmp_path / name, labels=labels)
    with open_image(tmp_path / name) as image:
        assert image.voxel_size_A == pytest.approx(SIZE_A)
        assert image.is_labels is labels
        assert image.meta.warnings == []
        np.testing.assert_array_equal(image.read_native(*[slice(None)] * 3), stored)
        np.testing.assert_array_equal(image.read_native(slice(1, 4), slice(2, 9), slice(0, 30)), stored[1:4, 2:9, :30])
        # Only a TIFF file without compression can be mapped.
        assert (image.array is not None) is (name.endswith(".tif") and not labels)
