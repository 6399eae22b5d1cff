"""Projection of a volume at one tilt, and back-projection of an image, both in the plane across the tilt axis.

Volumes here have the axes (z, u, v): u is across the tilt axis, v along it. An image has the axes (u, v). The detector
has the pixels of the volume's u axis, and the beam runs along z at a tilt of 0.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Positions = NDArray[np.floating]
_OVERSAMPLING = 8
"""Images are interpolated linearly to this many pixels for one, so that back-projection can take the nearest."""


@dataclass(frozen=True)
class Grid:
    """Voxels of a (z, u, v) volume along z and u, and the voxel size z / u."""

    depth: int
    width: int
    z_over_u: float

    @property
    def z(self) -> Positions:
        """Positions along z from the middle, in pixels of the detector."""
        return (np.arange(self.depth) - 0.5 * (self.depth - 1)) * self.z_over_u

    @property
    def u(self) -> Positions:
        """Positions along u from the middle, in pixels of the detector."""
        return np.arange(self.width) - 0.5 * (self.width - 1)


def tilt_angles(max_tilt_deg: float, step_deg: float) -> Positions:
    """Return the angles of a series in radians, symmetrical about 0."""
    count = int(np.floor(max_tilt_deg / step_deg + 1e-9))
    return np.asarray(np.radians(np.arange(-count, count + 1) * step_deg))


def project(volume: Field, grid: Grid, angle: float, pixels: int) -> Field:
    """Return the line integrals (pixels, v) of a (z, u, v) volume along the beam, in units of a pixel.

    Joseph's method (IEEE Transactions on Medical Imaging 1982): along the axis that a ray crosses more often, the
    volume is interpolated linearly in the other one. Outside the volume the density is 0.
    """
    cosine, sine = np.cos(angle), np.sin(angle)
    detector = np.arange(pixels) - 0.5 * (pixels - 1)
    total = np.zeros((pixels, volume.shape[2]), np.float32)
    if cosine / grid.z_over_u >= abs(sine):
        for plane, z in zip(volume, grid.z, strict=True):
            total += _interpolated(plane, (detector - z * sine) / cosine + 0.5 * (grid.width - 1))
        return total * np.float32(grid.z_over_u / cosine)
    for column, u in enumerate(grid.u):
        z = (detector - u * cosine) / sine / grid.z_over_u + 0.5 * (grid.depth - 1)
        total += _interpolated(volume[:, column], z)
    return total * np.float32(1 / abs(sine))


def _interpolated(rows: Field, positions: Positions) -> Field:
    """Return the rows (n, v) at fractional positions (m,), interpolated linearly; 0 outside."""
    low = np.floor(positions).astype(np.int64)
    share = (positions - low).astype(np.float32)
    last = len(rows) - 1
    weight_low = np.where((low >= 0) & (low <= last), 1 - share, 0).astype(np.float32)
    weight_high = np.where((low >= -1) & (low < last), share, 0).astype(np.float32)
    found: Field = rows[np.clip(low, 0, last)] * weight_low[:, None]
    found += rows[np.clip(low + 1, 0, last)] * weight_high[:, None]
    return found


def add_back_projection(volume: Field, grid: Grid, angle: float, picture: Field) -> None:
    """Add to every voxel of a (z, u, v) volume the value of an image (u, v) where the beam through it ends."""
    pixels = len(picture)
    fine = np.arange((pixels + 1) * _OVERSAMPLING + 1) / _OVERSAMPLING - 1
    smeared = _interpolated(picture, fine)
    middle = 0.5 * (pixels - 1)
    for plane, z in zip(volume, grid.z, strict=True):
        ends = grid.u * np.cos(angle) + z * np.sin(angle) + middle
        index = np.rint((ends + 1) * _OVERSAMPLING).astype(np.int64)
        plane += smeared[np.clip(index, 0, len(smeared) - 1)]
