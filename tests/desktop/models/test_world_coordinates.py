"""Where layers lie, and what colours they have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryomamba.models.palette import Palette, color_of
from napari_cryomamba.models.world_coordinates import Placement, voxel_at

SIZES = st.floats(0.5, 50.0)


@given(factor=st.integers(1, 16), size=SIZES, voxel=st.integers(0, 2000))
def test_every_tomogram_voxel_lies_in_the_preview_voxel_that_stands_for_it(
    factor: int, size: float, voxel: int
) -> None:
    """The centre of tomogram voxel v falls within preview voxel v // f, for any size and factor."""
    shown = Placement.on_grid((size, size, size), (factor, factor, factor))
    centre_nm = voxel * size * 0.1
    index = (centre_nm - shown.translate[0]) / shown.scale[0]
    assert round(index) == voxel // factor


def test_axes_keep_their_own_size() -> None:
    """Anisotropic voxels and factors are kept apart, in nm."""
    shown = Placement.on_grid((20.0, 10.0, 5.0), (1, 2, 4))
    assert shown.scale == pytest.approx((2.0, 2.0, 2.0))
    assert shown.translate == pytest.approx((0.0, 0.5, 0.75))


def test_a_point_of_the_world_is_a_voxel_of_the_tomogram() -> None:
    """The position in view is given in voxels, and never outside the volume."""
    assert voxel_at((13.0, 26.0, 1.3), (13.0, 13.0, 13.0), (48, 96, 96)) == pytest.approx((10.0, 20.0, 1.0))
    assert voxel_at((-5.0, 1e6, 0.0), (13.0, 13.0, 13.0), (48, 96, 96)) == (0.0, 95.0, 0.0)


def test_the_users_names_and_colours_win() -> None:
    """Names of a later job do not replace what the user chose."""
    palette = Palette()
    assert palette.add_names({0: "background", 1: "membrane"})
    palette.rename(1, "ER")
    palette.set_color(1, "#ff0000")
    assert not palette.add_names({1: "membrane"})
    assert (palette.name(1), palette.color(1)) == ("ER", "#ff0000")
    assert palette.color_dict([2])[2] == color_of(2)
    assert palette.color_dict([])[0] == "#00000000"


def test_neighbouring_labels_differ() -> None:
    """The first labels have different colours."""
    assert len({color_of(label) for label in range(1, 8)}) == 7
    assert np.unique([len(color_of(label)) for label in range(1, 20)]).tolist() == [7]
