"""Features against SciPy and NumPy, and their independence of the box in which they are computed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from cryomamba_inference.pixels.features import feature_box
from cryomamba_inference.pixels.filters import gaussian_kernel, halo, scale_features
from cryomamba_inference.pixels.scales import binned_box, halo_of, scales_of

RNG = np.random.default_rng(3)


def reference(data: np.ndarray, sigma: tuple[float, float, float]) -> np.ndarray:
    """The features of the whole volume, by other functions."""

    def smooth(values: np.ndarray, truncate: float) -> np.ndarray:
        for axis, s in enumerate(sigma):
            values = ndimage.correlate1d(values, gaussian_kernel(s, truncate).astype(float), axis, mode="nearest")
        return values

    s = smooth(data.astype(float), 3.0)
    first = [ndimage.correlate1d(s, [-0.5, 0, 0.5], a) * sigma[a] for a in range(3)]
    hessian, tensor = np.empty((*data.shape, 3, 3)), np.empty((*data.shape, 3, 3))
    for i in range(3):
        for j in range(3):
            if i == j:
                hessian[..., i, i] = ndimage.correlate1d(s, [1, -2, 1], i) * sigma[i] ** 2
            else:
                hessian[..., i, j] = ndimage.correlate1d(first[i], [-0.5, 0, 0.5], j) * sigma[j]
            tensor[..., i, j] = smooth(first[i] * first[j], 2.5)
    of_hessian = np.linalg.eigvalsh(hessian)[..., ::-1]
    of_tensor = np.sqrt(np.maximum(np.linalg.eigvalsh(tensor)[..., ::-1], 0))
    return np.stack(
        [s, np.sqrt(sum(g**2 for g in first)), *np.moveaxis(of_hessian, -1, 0), *np.moveaxis(of_tensor, -1, 0)]
    )


def test_features_are_those_of_other_programs() -> None:
    """Smoothing, gradient and eigenvalues agree with SciPy and NumPy, for voxels that are no cubes."""
    sigma = (1.2, 1.0, 1.5)
    data = RNG.normal(size=(36, 38, 40)).astype(np.float32)
    found = scale_features(data, sigma, tensor=True)
    inner = tuple(
        slice(margin, size - margin) for margin, size in zip(halo(sigma, tensor=True), data.shape, strict=True)
    )
    np.testing.assert_allclose(found, reference(data, sigma)[(slice(None), *inner)], atol=2e-5)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_a_binned_box_is_the_mean_of_its_voxels(factor: int) -> None:
    """Blocks are averaged, the last ones over what is there, and beyond the volume the nearest one counts."""
    data = RNG.normal(size=(9, 10, 11)).astype(np.float32)
    counts = [-(-n // factor) for n in data.shape]
    whole = np.array(
        [
            [
                [data[z : z + factor, y : y + factor, x : x + factor].mean() for x in range(0, 11, factor)]
                for y in range(0, 10, factor)
            ]
            for z in range(0, 9, factor)
        ]
    )
    first, last = (-2, 1, 0), (counts[0] + 3, counts[1], counts[2] + 1)
    found = binned_box(data.__getitem__, data.shape, first, last, factor)
    index = [np.clip(np.arange(a, b), 0, n - 1) for a, b, n in zip(first, last, counts, strict=True)]
    np.testing.assert_allclose(found, whole[np.ix_(*index)], atol=1e-6)


def test_features_do_not_depend_on_the_box() -> None:
    """A voxel has the same bits in a box of the whole volume, in a small one, and in a single section."""
    data = RNG.normal(size=(30, 34, 41)).astype(np.float32)
    scales = scales_of((10.0, 10.0, 12.0), 12.0, 3)
    voxels = np.array([[7, 9, 11], [7, 12, 40], [7, 33, 17]])
    whole = feature_box(data.__getitem__, data.shape, scales, (0, 0, 0), data.shape).at(voxels)
    for start, shape in (((7, 0, 0), (1, 34, 41)), ((5, 8, 10), (3, 26, 31))):
        read: list[slice] = []

        def look(where: tuple[slice, slice, slice], read: list[slice] = read) -> np.ndarray:
            read.append(where[0])
            return data[where]

        part = feature_box(look, data.shape, scales, start, shape).at(voxels)
        np.testing.assert_array_equal(part, whole)
        margin = halo_of(scales)[0] + scales[-1].factor
        assert min(s.start for s in read) >= max(start[0] - margin, 0)
