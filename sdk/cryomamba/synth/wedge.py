"""The missing wedge of a tilt series about the y axis."""

import numpy as np
from numpy.typing import NDArray

_ROWS = 16


def wedge_transfer(
    shape_zx: tuple[int, int], voxel_zx_A: tuple[float, float], max_tilt_deg: float
) -> NDArray[np.float32]:
    """Return the measured frequencies of a (z, x) plane, in the layout of ``rfft2``.

    A tilt series to ±`max_tilt_deg` measures where |kz| ≤ |kx| tan(max tilt); the zero frequency is kept.

    Returns
    -------
    array of shape (nz, nx // 2 + 1), float32
        1 where measured, 0 in the missing wedge.
    """
    kz = np.fft.fftfreq(shape_zx[0], voxel_zx_A[0])[:, None]
    kx = np.fft.rfftfreq(shape_zx[1], voxel_zx_A[1])[None, :]
    return np.asarray(np.abs(kz) <= kx * np.tan(np.radians(max_tilt_deg)) + 1e-12, np.float32)


def apply_wedge(volume: NDArray[np.float32], voxel_size_A: tuple[float, float, float], max_tilt_deg: float) -> None:
    """Set the frequencies of a ZYX volume in the missing wedge to zero, in place.

    Parameters
    ----------
    volume : array of shape (z, y, x), float32
        Treated as periodic. The wedge does not depend on ky, so a few y rows at a time are transformed.
    voxel_size_A : tuple of float
        Voxel size in Å, z, y, x.
    max_tilt_deg : float
        Maximum tilt angle in degrees.
    """
    depth, height, width = volume.shape
    transfer = wedge_transfer((depth, width), (voxel_size_A[0], voxel_size_A[2]), max_tilt_deg)
    for start in range(0, height, _ROWS):
        rows = slice(start, min(start + _ROWS, height))
        spectrum = np.fft.rfft2(volume[:, rows], axes=(0, 2))
        spectrum *= transfer[:, None, :]
        volume[:, rows] = np.fft.irfft2(spectrum, s=(depth, width), axes=(0, 2))


def in_missing_wedge(
    normals: NDArray[np.float32], max_tilt_deg: float | None, tilt_axes: tuple[str, ...] = ("y",)
) -> NDArray[np.bool_]:
    """Return whether unit normals (n, 3) of membranes lie in the missing wedge of all series, so that they are hidden.

    Parameters
    ----------
    normals : array of shape (n, 3)
        Unit normals, z, y, x.
    max_tilt_deg : float or None
        Maximum tilt angle in degrees; None: nothing is hidden.
    tilt_axes : tuple of {"y", "x"}
        Axis of each tilt series.
    """
    if max_tilt_deg is None:
        return np.zeros(len(normals), np.bool_)
    across = {"y": normals[:, 2], "x": normals[:, 1]}
    steepest = np.tan(np.radians(max_tilt_deg))
    hidden = [np.abs(normals[:, 0]) > steepest * np.abs(across[axis]) for axis in tilt_axes]
    return np.asarray(np.all(hidden, axis=0), np.bool_)
