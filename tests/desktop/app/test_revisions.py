"""Files of edited masks, and their exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import starfile

from cryomamba.errors import VolumeError
from cryomamba.volumes import blank_header, open_volume
from napari_cryomamba.app.revisions import TITLES, export_mask, next_version, save_mask, write_centres
from napari_cryomamba.models.components import measure_mask

SIZE = (20.0, 10.0, 10.0)


def test_versions_never_overwrite(tmp_path: Path, mask: Any) -> None:
    """Each save gets the next number."""
    first = next_version(tmp_path, "tomo.rec.gz", "my engine")
    assert first.name == "tomo__my-engine_v1.mrc"
    save_mask(first, mask, None, SIZE, engine="my engine")
    assert next_version(tmp_path, "tomo.rec.gz", "my engine").name == "tomo__my-engine_v2.mrc"


def test_a_saved_mask_has_the_grid_of_its_tomogram(tmp_path: Path, mask: Any) -> None:
    """Shape and voxel size are the tomogram's, the labels those that were edited."""
    header = blank_header((12, 16, 20), SIZE)
    path = tmp_path / "mask.mrc"
    fractions: list[float] = []
    save_mask(path, mask, header, SIZE, engine="membrane", progress=fractions.append)
    with mrcfile.open(path) as file:
        np.testing.assert_array_equal(file.data, mask)
        assert tuple(file.voxel_size.tolist()) == (10.0, 10.0, 20.0)
    assert fractions[-1] == 1.0
    assert mrcfile.validate(path)


@pytest.mark.parametrize("suffix", [suffix for suffix in TITLES if suffix != ".star"])
def test_every_format_is_written_atomically(tmp_path: Path, mask: Any, suffix: str) -> None:
    """Each export leaves one file or folder, and no temporary one."""
    path = tmp_path / f"mask{suffix}"
    export_mask(path, mask, blank_header((12, 16, 20), SIZE), SIZE, engine="membrane")
    assert path.name in {found.name for found in tmp_path.iterdir()}
    assert not [found for found in tmp_path.iterdir() if found.name.startswith(".")]
    if suffix == ".mrc":
        with open_volume(path) as volume:
            assert volume.voxel_size_A == SIZE


def test_labels_below_zero_are_not_saved(tmp_path: Path) -> None:
    """A Labels layer may hold them, as one converted from an image; they are refused and nothing is written."""
    with pytest.raises(VolumeError, match="below 0"):
        save_mask(tmp_path / "m.mrc", np.array([[[0, -1]]], np.int8), None, SIZE, engine="x")
    assert not list(tmp_path.iterdir())


def test_star_coordinates_are_centred(tmp_path: Path, mask: Any) -> None:
    """Components become particles in Å from the tomogram's centre, in x, y, z, and none of them has a score."""
    path = tmp_path / "components.star"
    count = write_centres(path, measure_mask(mask, SIZE, {}), "tomo 1.mrc", (12, 16, 20), SIZE)
    table = starfile.read(path)
    assert count == len(table) == 3
    second = table.iloc[1]
    assert second["rlnTomoName"] == "tomo 1"
    assert "rlnAutopickFigureOfMerit" not in table
    assert second["rlnCenteredCoordinateXAngst"] == pytest.approx((2.5 - 10) * 10)
    assert second["rlnCenteredCoordinateYAngst"] == pytest.approx((6 - 8) * 10)
    assert second["rlnCenteredCoordinateZAngst"] == pytest.approx((6 - 6) * 20)
