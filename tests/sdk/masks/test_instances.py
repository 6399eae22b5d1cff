"""Connected components are those of the whole volume, whatever the slabs."""

from __future__ import annotations

import cc3d
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from cryomamba.masks.instances import find_instances
from cryomamba.masks.slab_graph import Connectivity
from cryomamba.masks.slabs import LabelSource

CONNECTIVITIES: st.SearchStrategy[Connectivity] = st.sampled_from([6, 26])


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 9), st.integers(1, 9)))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    share = draw(st.sampled_from([0.05, 0.2, 0.5, 1.0]))
    return (rng.integers(1, draw(st.integers(2, 5)), shape) * (rng.random(shape) < share)).astype(np.uint8)


def sliced(mask: np.ndarray, depth: int) -> LabelSource:
    return LabelSource.of_array(mask, (3.0, 2.0, 1.0), slab_voxels=depth * mask[0].size)


@given(mask=masks(), depth=st.integers(1, 12), connectivity=CONNECTIVITIES)
def test_slabs_give_the_whole_volumes_components(mask: np.ndarray, depth: int, connectivity: Connectivity) -> None:
    """Numbers, sizes, labels, boxes and centroids equal those of cc3d and scipy on the whole; the largest is first."""
    found = find_instances(sliced(mask, depth), connectivity=connectivity)
    whole, count = cc3d.connected_components(mask, connectivity=connectivity, return_N=True)
    assert len(found) == count
    assert (np.diff(found.voxels) <= 0).all()
    ids = np.concatenate([ids.copy() for _, ids in found.slabs()]) if mask.size else whole
    pairs = np.unique(np.stack([ids.ravel(), whole.ravel()]), axis=1)
    assert pairs.shape[1] == np.unique(whole).size
    for row, box in enumerate(ndimage.find_objects(ids.astype(int))):
        inside = ids == row + 1
        assert found.voxels[row] == inside.sum()
        assert set(mask[inside]) == {found.label[row]}
        assert [axis.start for axis in box] == found.start[row].tolist()
        assert [axis.stop for axis in box] == found.stop[row].tolist()
        assert found.centroid[row] == pytest.approx(ndimage.center_of_mass(inside), abs=1e-5)


@given(mask=masks(), depths=st.tuples(st.integers(1, 12), st.integers(1, 12)))
def test_numbers_do_not_depend_on_the_slabs(mask: np.ndarray, depths: tuple[int, int]) -> None:
    """Two depths of slabs give each voxel the same number."""
    one, other = (
        np.concatenate([ids.copy() for _, ids in find_instances(sliced(mask, depth)).slabs()]) for depth in depths
    )
    assert np.array_equal(one, other)


@given(mask=masks(), depth=st.integers(1, 12), most=st.integers(0, 20))
def test_small_components_beyond_a_bound_share_a_row_per_label(mask: np.ndarray, depth: int, most: int) -> None:
    """The largest components keep their numbers; all others of a label add up in one row, whatever the slabs."""
    every, some = find_instances(sliced(mask, mask.shape[0])), find_instances(sliced(mask, depth), max_listed=most)
    assert len(some) == min(most, len(every))
    assert some.count == len(every)
    for name in ("label", "voxels", "centroid", "start", "stop"):
        assert np.array_equal(getattr(some, name)[: len(some)], getattr(every, name)[: len(some)])
    shared = {int(label): len(some) + row for row, label in enumerate(some.label[len(some) :])}
    assert set(shared) == set(every.label[len(some) :].tolist())
    for label, row in shared.items():
        small = np.flatnonzero(every.label[len(some) :] == label) + len(some)
        assert some.unlisted[row - len(some)] == small.size
        assert some.voxels[row] == every.voxels[small].sum()
        assert some.stop[row].tolist() == every.stop[small].max(axis=0).tolist()
    table = np.concatenate(
        [np.arange(len(some) + 1), [shared[label] + 1 for label in every.label[len(some) :].tolist()]]
    )
    wanted = np.concatenate([table[ids] for _, ids in every.slabs()])
    assert np.array_equal(np.concatenate([ids.copy() for _, ids in some.slabs()]), wanted)
