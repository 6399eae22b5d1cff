"""One component, found from a voxel or from its row in a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from cryomamba.errors import NotFoundError
from cryomamba.masks.editing import component as module
from cryomamba.masks.editing.component import Component, component_in_box, find_component
from cryomamba.masks.measure import measure
from cryomamba.masks.slabs import LabelSource

SHAPE = (40, 130, 150)


@pytest.fixture(scope="module")
def mask() -> Any:
    """Two labels of random blobs, one of them a net that spans the volume."""
    field = ndimage.gaussian_filter(np.random.default_rng(2).normal(size=SHAPE), 3)
    return np.where(field > 0.04, 2, np.where(field < -0.02, 1, 0)).astype(np.uint8)


def volume_of(found: Component) -> Any:
    whole = np.zeros(SHAPE, np.bool_)
    whole[found.box] = found.member
    return whole


@pytest.mark.parametrize("largest_box", [module._BOX_VOXELS, 1])
def test_a_component_is_that_of_the_whole_mask(mask: Any, monkeypatch: pytest.MonkeyPatch, largest_box: int) -> None:
    """Found in a growing box or slab by slab, it is what labelling everything finds, in a tight box."""
    monkeypatch.setattr(module, "_BOX_VOXELS", largest_box)
    for label in (1, 2):
        everything, count = ndimage.label(mask == label, np.ones((3, 3, 3)))
        assert count > 2
        for seed in np.argwhere(mask == label)[:: 20_000 if largest_box == 1 else 5_000]:
            found = find_component(mask, tuple(seed.tolist()))
            expected = everything == everything[tuple(seed)]
            np.testing.assert_array_equal(volume_of(found), expected)
            assert found.box == ndimage.find_objects(expected.astype(int))[0]
            assert found.contains(tuple(seed.tolist()))
            assert found.label == label


def test_background_has_no_component(mask: Any) -> None:
    """Neither has a voxel outside of the mask."""
    empty = tuple(np.argwhere(mask == 0)[0].tolist())
    for at in (empty, (-1, 0, 0), (0, 0, SHAPE[2])):
        with pytest.raises(NotFoundError):
            find_component(mask, at)


def test_a_row_of_the_table_leads_to_its_component(mask: Any) -> None:
    """Label, box and size of a measured component find it again, and not after it was changed."""
    for row in measure(LabelSource.of_array(mask), {}, shape=False).instances(8):
        assert row.box_start is not None
        assert row.box_stop is not None
        place = row.label, row.box_start, row.box_stop, row.voxels
        found = component_in_box(mask, *place)
        inside = np.argwhere(found.member)[0] + found.start
        np.testing.assert_array_equal(volume_of(found), volume_of(find_component(mask, tuple(inside.tolist()))))
    changed = mask.copy()
    changed[found.box][found.member] = 0
    with pytest.raises(NotFoundError, match="changed"):
        component_in_box(changed, *place)
