"""The filters that people reach for first: scikit-image's ridge filters and the Hessian's largest eigenvalue.

They are applied to a copy binned to about 25 Å (as in `baseline_plate_filter`) at a scale of one voxel, so that the
scale suits a membrane, and their response is interpolated linearly to the volume's voxels.
"""

from collections.abc import Callable

import numpy as np
from benchmarks.peers.baseline_plate_filter import BINNED_A, binned
from numpy.typing import NDArray
from skimage import feature, filters

Field = NDArray[np.float32]


def hessian_plate(volume: Field) -> Field:
    """Return the largest eigenvalue of the Hessian: the curvature across a dark plate."""
    elements = feature.hessian_matrix(volume, sigma=1, order="rc", use_gaussian_derivatives=False)  # type: ignore[no-untyped-call]
    return np.asarray(feature.hessian_matrix_eigvals(elements)[0], np.float32)  # type: ignore[no-untyped-call]


FILTERS: dict[str, Callable[[Field], Field]] = {
    "Hessian": hessian_plate,
    "Sato": lambda volume: filters.sato(volume, sigmas=[1], black_ridges=True),  # type: ignore[no-untyped-call]
    "Meijering": lambda volume: filters.meijering(volume, sigmas=[1], black_ridges=True),  # type: ignore[no-untyped-call]
    "Frangi": lambda volume: filters.frangi(volume, sigmas=[1], black_ridges=True),  # type: ignore[no-untyped-call]
}


def response(name: str, volume: Field, voxel_size_A: float) -> Field:
    """Return the answer of a filter on a ZYX volume with dark membranes, of the volume's shape."""
    factor = max(1, round(BINNED_A / voxel_size_A))
    return spread(FILTERS[name](binned(volume, factor)), volume.shape, factor)


def lines(volume: Field, voxel_size_A: float, diameter_A: float) -> list[Field]:
    """Return what Sato and Frangi answer to dark lines, at two scales that suit the diameter."""
    factor = max(1, round(BINNED_A / voxel_size_A))
    small = binned(volume, factor)
    sigmas = [share * diameter_A / 2 / (factor * voxel_size_A) for share in (0.5, 0.7)]
    answers = (one(small, sigmas=sigmas, black_ridges=True) for one in (filters.sato, filters.frangi))
    return [spread(answer, volume.shape, factor) for answer in answers]


def spread(small: Field, shape: tuple[int, ...], factor: int) -> Field:
    """Interpolate a field that was binned by `factor` to a shape."""
    places = [(np.arange(size) - 0.5 * (factor - 1)) / factor for size in shape]
    for axis, at in enumerate(places):
        low = np.clip(np.floor(at).astype(int), 0, small.shape[axis] - 2)
        share = np.clip(at - low, 0, 1).reshape([-1 if axis == a else 1 for a in range(3)])
        small = np.take(small, low, axis) * (1 - share) + np.take(small, low + 1, axis) * share
    return np.asarray(small, np.float32)
