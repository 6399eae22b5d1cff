"""Smoothing and the eigenvalues of Hessian and structure tensor, on arrays that bring their own halo.

The Hessian's eigenvalues tell lines, plates and blobs apart (Frangi et al. 1998); those of the structure tensor tell
how anisotropic the surroundings are (Jähne 1993). All operations have a fixed order, so that a voxel has the same bits
in whatever box it is computed.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Shape

Field = npt.NDArray[np.float32]
_TRUNCATE = 3.0
"""Where the smoothing kernels end, in standard deviations."""
_INTEGRATION_TRUNCATE = 2.5
"""Where the kernels end that average the structure tensor."""
FEATURES = 8
"""Of one scale: smoothed density, gradient magnitude, and three eigenvalues of the Hessian and the structure tensor."""
FEATURES_WITHOUT_TENSOR = 5


def gaussian_kernel(sigma: float, truncate: float) -> Field:
    """Return a normalized Gaussian; its length is odd."""
    radius = math.ceil(truncate * sigma)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(kernel / kernel.sum(), np.float32)


def halo(sigma: tuple[float, float, float], *, tensor: bool) -> Shape:
    """Return how many voxels around a box :func:`scale_features` needs, for standard deviations in voxels."""
    z, y, x = (math.ceil(_TRUNCATE * s) + 1 + (math.ceil(_INTEGRATION_TRUNCATE * s) if tensor else 0) for s in sigma)
    return z, y, x


def scale_features(field: Field, sigma: tuple[float, float, float], *, tensor: bool) -> Field:
    """Return the features of one scale.

    Derivatives are per standard deviation, so that they are comparable between scales.

    Parameters
    ----------
    field : array of shape (z, y, x), float32
        The box with the :func:`halo` on every side.
    sigma : tuple of float
        Standard deviation of the smoothing, in voxels along z, y, x.
    tensor : bool
        Whether to compute the structure tensor.

    Returns
    -------
    array of shape (features, z, y, x), float32
        Of the box without the halo.
    """
    smooth = _smoothed(field, sigma, _TRUNCATE)
    steps = np.asarray(sigma, np.float32)
    margins = [math.ceil(_INTEGRATION_TRUNCATE * s) if tensor else 0 for s in sigma]
    z, y, x = (size - 2 * (margin + 1) for size, margin in zip(smooth.shape, margins, strict=True))
    found = np.empty((FEATURES if tensor else FEATURES_WITHOUT_TENSOR, z, y, x), np.float32)
    _derivatives(smooth, steps, np.asarray(margins), found)
    if tensor:
        gradients = _gradients(smooth, steps)
        averaged = np.empty((6, z, y, x), np.float32)
        for number, (first, second) in enumerate(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))):
            averaged[number] = _smoothed(gradients[first] * gradients[second], sigma, _INTEGRATION_TRUNCATE)
        _tensor_eigenvalues(averaged, found)
    return found


def _smoothed(field: Field, sigma: tuple[float, float, float], truncate: float) -> Field:
    """Return the smoothed inner part of a field, which is smaller by the length of the kernels."""
    kernels = [gaussian_kernel(s, truncate) for s in sigma]
    z, y, x = (size - len(kernel) + 1 for size, kernel in zip(field.shape, kernels, strict=True))
    out = np.empty((z, y, x), np.float32)
    _convolve(field, kernels[0], kernels[1], kernels[2], out)
    return out


@nb.njit(cache=True, nogil=True)
def _convolve(field, along_z, along_y, along_x, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    rows, columns = field.shape[1], field.shape[2]
    plane = np.empty((rows, columns), np.float32)
    row = np.empty(columns, np.float32)
    for z in range(out.shape[0]):
        plane[:] = 0
        for k in range(len(along_z)):
            weight = along_z[k]
            for y in range(rows):
                for x in range(columns):
                    plane[y, x] += weight * field[z + k, y, x]
        for y in range(out.shape[1]):
            row[:] = 0
            for k in range(len(along_y)):
                weight = along_y[k]
                for x in range(columns):
                    row[x] += weight * plane[y + k, x]
            for x in range(out.shape[2]):
                out[z, y, x] = 0
            for k in range(len(along_x)):
                weight = along_x[k]
                for x in range(out.shape[2]):
                    out[z, y, x] += weight * row[x + k]


@nb.njit(cache=True, nogil=True)
def _gradients(smooth, steps):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Return the derivatives along z, y, x of all but the outermost voxels."""
    out = np.empty((3, smooth.shape[0] - 2, smooth.shape[1] - 2, smooth.shape[2] - 2), np.float32)
    half = np.float32(0.5)
    for z in range(out.shape[1]):
        for y in range(out.shape[2]):
            for x in range(out.shape[3]):
                out[0, z, y, x] = (smooth[z + 2, y + 1, x + 1] - smooth[z, y + 1, x + 1]) * half * steps[0]
                out[1, z, y, x] = (smooth[z + 1, y + 2, x + 1] - smooth[z + 1, y, x + 1]) * half * steps[1]
                out[2, z, y, x] = (smooth[z + 1, y + 1, x + 2] - smooth[z + 1, y + 1, x]) * half * steps[2]
    return out


@nb.njit(cache=True, nogil=True)
def _derivatives(smooth, steps, margins, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Enter the smoothed density, the magnitude of its gradient, and the eigenvalues of its Hessian."""
    s0, s1, s2 = steps[0], steps[1], steps[2]
    for z in range(out.shape[1]):
        a = z + margins[0] + 1
        for y in range(out.shape[2]):
            b = y + margins[1] + 1
            for x in range(out.shape[3]):
                c = x + margins[2] + 1
                centre = smooth[a, b, c]
                g0 = (smooth[a + 1, b, c] - smooth[a - 1, b, c]) * 0.5 * s0
                g1 = (smooth[a, b + 1, c] - smooth[a, b - 1, c]) * 0.5 * s1
                g2 = (smooth[a, b, c + 1] - smooth[a, b, c - 1]) * 0.5 * s2
                h00 = (smooth[a + 1, b, c] - 2 * centre + smooth[a - 1, b, c]) * s0 * s0
                h11 = (smooth[a, b + 1, c] - 2 * centre + smooth[a, b - 1, c]) * s1 * s1
                h22 = (smooth[a, b, c + 1] - 2 * centre + smooth[a, b, c - 1]) * s2 * s2
                h01 = (
                    (
                        smooth[a + 1, b + 1, c]
                        - smooth[a + 1, b - 1, c]
                        - smooth[a - 1, b + 1, c]
                        + smooth[a - 1, b - 1, c]
                    )
                    * 0.25
                    * s0
                    * s1
                )
                h02 = (
                    (
                        smooth[a + 1, b, c + 1]
                        - smooth[a + 1, b, c - 1]
                        - smooth[a - 1, b, c + 1]
                        + smooth[a - 1, b, c - 1]
                    )
                    * 0.25
                    * s0
                    * s2
                )
                h12 = (
                    (
                        smooth[a, b + 1, c + 1]
                        - smooth[a, b + 1, c - 1]
                        - smooth[a, b - 1, c + 1]
                        + smooth[a, b - 1, c - 1]
                    )
                    * 0.25
                    * s1
                    * s2
                )
                out[0, z, y, x] = centre
                out[1, z, y, x] = math.sqrt(g0 * g0 + g1 * g1 + g2 * g2)
                largest, middle, smallest = _eigenvalues(h00, h11, h22, h01, h02, h12)
                out[2, z, y, x] = largest
                out[3, z, y, x] = middle
                out[4, z, y, x] = smallest


@nb.njit(cache=True, nogil=True)
def _tensor_eigenvalues(averaged, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Enter the square roots of the eigenvalues, which have the unit of a gradient."""
    for z in range(out.shape[1]):
        for y in range(out.shape[2]):
            for x in range(out.shape[3]):
                largest, middle, smallest = _eigenvalues(
                    averaged[0, z, y, x],
                    averaged[1, z, y, x],
                    averaged[2, z, y, x],
                    averaged[3, z, y, x],
                    averaged[4, z, y, x],
                    averaged[5, z, y, x],
                )
                out[5, z, y, x] = math.sqrt(max(largest, 0.0))
                out[6, z, y, x] = math.sqrt(max(middle, 0.0))
                out[7, z, y, x] = math.sqrt(max(smallest, 0.0))


@nb.njit(cache=True, nogil=True)
def _eigenvalues(a00, a11, a22, a01, a02, a12):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Return the eigenvalues of a symmetric matrix, largest first (Smith 1961)."""
    mean = (a00 + a11 + a22) / 3.0
    b00, b11, b22 = a00 - mean, a11 - mean, a22 - mean
    spread = (b00 * b00 + b11 * b11 + b22 * b22 + 2.0 * (a01 * a01 + a02 * a02 + a12 * a12)) / 6.0
    if spread <= 0.0:
        return mean, mean, mean
    radius = math.sqrt(spread)
    half = (
        0.5
        * (b00 * (b11 * b22 - a12 * a12) - a01 * (a01 * b22 - a12 * a02) + a02 * (a01 * a12 - b11 * a02))
        / (spread * radius)
    )
    angle = math.acos(min(max(half, -1.0), 1.0)) / 3.0
    largest = mean + 2.0 * radius * math.cos(angle)
    smallest = mean + 2.0 * radius * math.cos(angle + 2.0943951023931953)
    return largest, 3.0 * mean - largest - smallest, smallest
