"""Membranes where a person's labels are: density along the medial surface of the labels."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryomamba.synth.lattice import Lattice
from cryomamba.synth.objects import Membrane, Samples
from cryomamba.synth.profiles import PROFILES, ProfileName
from cryomamba.synth.render import Canvas, Hidden
from cryomamba.synth.spec import MEMBRANE
from cryomamba.synth.surfaces import Points

_SLAB = 32
_HALO_A = 160.0
"""Labels thicker than about twice this have no medial surface that is worth the name."""
_SMOOTHING = 1.0
"""Standard deviation in voxels of the filter that takes the steps of voxels off the depth inside a label."""
_SHARPEST = 0.25
"""Least curvature of the depth at a ridge, times the voxel size; a smoothed roof has 0.8."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class MedialSurface:
    """Points (n, 3) in Å of a medial surface, one in each voxel (n, 3) that it passes, and its unit normals (n, 3)."""

    voxels: NDArray[np.int64]
    points: Points
    normals: Points


def medial_surface(inside: Mask, voxel_size_A: tuple[float, float, float]) -> MedialSurface:
    """Return the medial surface of a mask: the ridges of the depth inside it, to a fraction of a voxel.

    The depth is the distance transform, smoothed. At a ridge the Hessian has a large negative eigenvalue; its vector is
    the normal, and a Newton step along it leads to the top.
    """
    size = np.asarray(voxel_size_A, np.float32)
    edge = float(np.cbrt(np.prod(size)))
    depth = ndimage.distance_transform_edt(inside, voxel_size_A).astype(np.float32)
    beyond = ndimage.distance_transform_edt(~inside, voxel_size_A).astype(np.float32)
    # From voxel centre to voxel centre a distance transform counts half a voxel too much on either side.
    depth = np.where(inside, depth - np.float32(0.5 * edge), np.float32(0.5 * edge) - beyond)
    depth = ndimage.gaussian_filter(depth, [_SMOOTHING * edge / s for s in voxel_size_A])
    voxels = np.argwhere(inside)
    slope, curvature = _derivatives(depth, voxels, size)
    values, vectors = np.linalg.eigh(curvature)
    normal, sharp = vectors[:, :, 0], np.minimum(values[:, 0], -1e-9)
    step = normal * (-np.einsum("ni,ni->n", slope, normal) / sharp)[:, None]
    ridge = (sharp < -_SHARPEST / edge) & (np.abs(step) <= 0.6 * size).all(axis=1)
    points = np.asarray((voxels * size + step)[ridge], np.float32)
    return MedialSurface(voxels[ridge], points, np.asarray(normal[ridge], np.float32))


def _derivatives(field: Points, voxels: NDArray[np.int64], size: Points) -> tuple[Points, Points]:
    """Return gradient (n, 3) and Hessian (n, 3, 3) of a field at `voxels`, by differences."""
    last, unit = np.array(field.shape) - 1, np.eye(3, dtype=np.int64)

    def at(step: NDArray[np.int64]) -> Points:
        return np.asarray(field[tuple(np.clip(voxels + step, 0, last).T)], np.float32)

    centre = at(np.zeros(3, np.int64))
    slope, curvature = np.empty((len(voxels), 3), np.float32), np.empty((len(voxels), 3, 3), np.float32)
    for i in range(3):
        above, below = at(unit[i]), at(-unit[i])
        slope[:, i] = (above - below) / (2 * size[i])
        curvature[:, i, i] = (above - 2 * centre + below) / size[i] ** 2
        for j in range(i):
            mixed = at(unit[i] + unit[j]) - at(unit[i] - unit[j]) - at(unit[j] - unit[i]) + at(-unit[i] - unit[j])
            curvature[:, i, j] = curvature[:, j, i] = mixed / (4 * size[i] * size[j])
    return slope, curvature


def draw_labels(
    canvas: Canvas, inside: Mask, thickness_A: float, profile: ProfileName, hidden: Hidden
) -> list[Membrane]:
    """Add a membrane along the medial surface of a mask; the mask itself becomes the ground truth.

    Labels do not say which side of a membrane is the outer one, so both sides are drawn like it.

    Returns
    -------
    list of Membrane
        One membrane, for what is placed beside it; none if the mask is empty.
    """
    found = []
    for first, low, part in _slabs(inside, canvas.voxel_size_A[0]):
        surface = medial_surface(part, canvas.voxel_size_A)
        if not len(surface.voxels):
            continue
        core = slice(first - low, first - low + _SLAB)
        _draw_slab(canvas.slab(first, first + _SLAB), part, core, surface, thickness_A, profile, hidden)
        own = (surface.voxels[:, 0] >= core.start) & (surface.voxels[:, 0] < core.stop)
        up = np.array([low * canvas.voxel_size_A[0], 0, 0], np.float32)
        found.append((surface.points[own] + up, surface.normals[own]))
    canvas.ground_truth[inside] = MEMBRANE
    if not found:
        return []
    points, normals = (np.concatenate(parts) for parts in zip(*found, strict=True))
    extent = tuple(n * s for n, s in zip(canvas.shape, canvas.voxel_size_A, strict=True))
    lattice = Lattice((extent[0], extent[1], extent[2]))
    middle = np.asarray(extent, np.float32) * np.float32(0.5)
    samples = Samples(points, normals, float(np.prod(canvas.voxel_size_A) ** (2 / 3)))
    return [Membrane(lattice.distance_from(points), thickness_A, middle, np.inf, samples=samples)]


def _slabs(inside: Mask, height_A: float) -> Iterator[tuple[int, int, Mask]]:
    """Yield first planes of slabs, first planes of the parts around them, and these parts, where they have labels."""
    halo = int(np.ceil(_HALO_A / height_A))
    for first in range(0, len(inside), _SLAB):
        low = max(first - halo, 0)
        part = inside[low : first + _SLAB + halo]
        if part.any():
            yield first, low, part


def _draw_slab(
    slab: Canvas,
    part: Mask,
    core: slice,
    surface: MedialSurface,
    thickness_A: float,
    profile: ProfileName,
    hidden: Hidden,
) -> None:
    """Draw what the medial surface of a part gives in its core; the `slab` has the planes of the core."""
    size = np.asarray(slab.voxel_size_A, np.float32)
    number = np.full(part.shape, -1, np.int32)
    number[tuple(surface.voxels.T)] = np.arange(len(surface.voxels))
    away, nearest = ndimage.distance_transform_edt(number < 0, slab.voxel_size_A, return_indices=True)
    near = away[core] < thickness_A + 2 * size.max()
    hit = np.argwhere(near | part[core])
    index = number[tuple(axis[core][tuple(hit.T)] for axis in nearest)]
    offset = (hit + np.array([core.start, 0, 0])) * size - surface.points[index]
    normal = surface.normals[index]
    along = np.einsum("ni,ni->n", offset, normal)
    lateral = np.sqrt(np.maximum(np.einsum("ni,ni->n", offset, offset) - along**2, 0))
    distances = np.hypot(along, np.maximum(lateral - 1.5 * size.max(), 0)).astype(np.float32)
    where = tuple(hit.T)
    slab.density[where] = PROFILES[profile](distances, thickness_A, slab.blur_A)
    slab.hidden[where] = hidden(normal) & part[core][where]
