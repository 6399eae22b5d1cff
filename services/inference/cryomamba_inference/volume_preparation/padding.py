"""Padding: the constant value around rotated, shifted and masked tomograms.

Its edge is sharper than any membrane, and it lowers noise estimates. So padding is excluded from all statistics, and
replaced by extrapolated densities before filtering.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from cryomamba.engines.api import Slices
from cryomamba_inference.threads import SINGLE_THREADED, ThreadTeam
from cryomamba_inference.volume_preparation.constant_patches import PATCH_RADIUS, mark_constant
from cryomamba_inference.volume_preparation.grid import spans
from cryomamba_inference.volume_preparation.region import NodesInside

Field = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

_NEIGHBOURS = np.ones((3, 3, 3), np.bool_)
_SLAB_NODES = 2_000_000
_SAMPLE_NODES = 100_000  # for the median density
_RIM_NODES = 10  # depth of the measured rim that is reflected


def find_padding(nodes: Field, padding: Flags, team: ThreadTeam = SINGLE_THREADED, margin: int = 1) -> None:
    """Mark the nodes in the padding and up to `margin` nodes from it, which were averaged with it.

    Padding is where 5 × 5 nodes in a plane along two axes are equal, within rounding, and where values are not finite.

    Parameters
    ----------
    nodes : array of shape (z, y, x), float32
        Densities on the nodes of the whole volume; may be a memory map.
    padding : array of the same shape, bool
        Output; may be a memory map.
    margin : int
        Reach of the averaging by which the nodes were made.
    """
    halo = 2 * PATCH_RADIUS + margin

    def find(slab: tuple[int, int]) -> None:
        low, high = slab
        first, last = max(low - halo, 0), min(high + halo, len(nodes))
        marked = np.zeros((last - first, *nodes.shape[1:]), np.bool_)
        mark_constant(np.asarray(nodes[first:last]), marked)
        if marked.any():
            marked = scipy.ndimage.binary_dilation(marked, _NEIGHBOURS, margin)
        padding[low:high] = marked[low - first : high - first]

    team.map(find, spans(len(nodes), _planes(nodes.shape)))


def counted_nodes(padding: Flags, box: Slices, inside: NodesInside | None) -> Flags:
    """Return which nodes of a box count: those that were measured, and are in the region if there is one."""
    measured = ~padding[box]
    return measured if inside is None else measured & inside(box)


def fill_padding(nodes: Field, padding: Flags) -> None:
    """Extrapolate the measured densities into the padding by repeated reflection of its rim.

    So the noise is as strong there as elsewhere. The interior of very thick padding gets the median.

    Parameters
    ----------
    nodes : array of shape (z, y, x), float32
        Modified in the padding and next to it.
    padding : array of the same shape, bool
    """
    level = _median(nodes, padding)
    for low, high in spans(len(nodes), _planes(nodes.shape)):
        if not padding[low:high].any():
            continue
        first, last = max(low - 2 * _RIM_NODES, 0), min(high + 2 * _RIM_NODES, len(nodes))
        # Up to two nodes next to the last one that is entirely padding were averaged with it.
        unmeasured = scipy.ndimage.binary_dilation(padding[first:last], _NEIGHBOURS)
        nodes[low:high] = _reflect(np.asarray(nodes[first:last]), unmeasured, level, slice(low - first, high - first))


def clear_padding(response: Field, padding: Flags) -> None:
    """Set a filter response to 0 in the padding, so that nothing is found there."""
    for low, high in spans(len(response), _planes(response.shape)):
        if padding[low:high].any():
            response[low:high][padding[low:high]] = 0


def _median(nodes: Field, padding: Flags) -> np.float32:
    stride = max(1, int(np.ceil((nodes.size / _SAMPLE_NODES) ** (1 / 3))))
    measured = nodes[::stride, ::stride, ::stride][~padding[::stride, ::stride, ::stride]]
    return np.float32(np.median(measured) if measured.size else 0)


def _reflect(nodes: Field, unmeasured: Flags, level: np.float32, planes: slice) -> Field:
    """Return planes in which unmeasured nodes are replaced by their mirror image at the nearest measured node."""
    filled = np.where(unmeasured[planes], level, nodes[planes])
    if unmeasured.all():
        return filled
    nearest = scipy.ndimage.distance_transform_edt(unmeasured, return_distances=False, return_indices=True)
    last = np.array(nodes.shape)[:, None] - 1
    # One plane at a time, to save memory.
    for z, plane in enumerate(filled, planes.start):
        y, x = np.nonzero(unmeasured[z])
        edge = nearest[:, z, y, x]
        offset = edge - np.stack([np.full_like(y, z), y, x])
        length = np.maximum(np.abs(offset).max(axis=0), 1)
        # Beyond the depth of the rim, the mirror image is reflected again.
        depth = _RIM_NODES - np.abs(_RIM_NODES - (length - 1) % (2 * _RIM_NODES)) + 1
        mirrored = np.clip(edge + np.rint(offset * (depth / length)).astype(np.int64), 0, last)
        plane[y, x] = np.where(unmeasured[tuple(mirrored)], nodes[tuple(edge)], nodes[tuple(mirrored)])
    return filled


def _planes(shape: tuple[int, ...]) -> int:
    return max(1, _SLAB_NODES // (shape[1] * shape[2]))
