"""Random fields and distances: what scenes are made of. Arrays are cubes of float32, ZYX, lengths in nodes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
FAR = 1e4  # nodes


def smooth_field(rng: np.random.Generator, side: int, scale: float) -> Field:
    """Return a periodic Gaussian random field of unit variance, smoothed by a Gaussian of `scale` nodes.

    Only the waves that the Gaussian lets through are drawn.
    """
    highest = min(int(np.ceil(3 * side / (2 * np.pi * scale))) + 1, side // 2 - 1)
    small = 2 * highest + 2
    waves = fft.rfftn(rng.standard_normal((small, small, small), np.float32))
    f = fft.fftfreq(small, 1 / small).astype(np.float32)
    damping = np.exp(-0.5 * (2 * np.pi * scale / side * f) ** 2)
    half = highest + 1
    waves *= damping[:, None, None] * damping[None, :, None] * damping[None, None, : half + 1]
    spectrum = np.zeros((side, side, side // 2 + 1), np.complex64)
    low, high = slice(0, half), slice(-highest, None)
    for z in (low, high):
        for y in (low, high):
            spectrum[z, y, :half] = waves[z, y, :half]
    field = fft.irfftn(spectrum, (side, side, side))
    return np.asarray((field - field.mean()) / max(field.std(), 1e-6), np.float32)


def wave_field(rng: np.random.Generator, side: int, period: float) -> Field:
    """Return a periodic random field of unit variance whose waves all have about one length, `period` nodes.

    Its level sets near 0 are labyrinths, as cubic membranes and folded reticulum are.
    """
    full, half = fft.fftfreq(side).astype(np.float32), fft.rfftfreq(side).astype(np.float32)
    length = np.sqrt(full[:, None, None] ** 2 + full[None, :, None] ** 2 + half**2) * np.float32(period)
    spectrum = fft.rfftn(rng.standard_normal((side, side, side), np.float32)) * gauss(
        length - 1, rng.uniform(0.05, 0.2)
    )
    field = fft.irfftn(spectrum, (side, side, side))
    return np.asarray(field / max(field.std(), 1e-6), np.float32)


def level_distance(field: Field, level: float) -> Field:
    """Return the signed distance in nodes from a level set, to first order in the gradient.

    Where the gradient nearly vanishes, the surface bends too sharply for that, and there is none: the distance is
    infinite.
    """
    norm = _slope(field)
    usual = np.median(norm[::4, ::4, ::4])
    distance = np.clip((field - np.float32(level)) / np.maximum(norm, np.float32(1e-6)), -FAR, FAR)
    # Dividing by the slope once more corrects most of the second order.
    again = _slope(distance)
    bent = (norm < 0.4 * usual) | (again < 0.55)
    return np.where(bent, np.float32(FAR), distance / np.clip(again, 0.5, 1.4)).astype(np.float32)


def surface_distance(field: Field, level: float) -> Field:
    """Return the signed distance in nodes from a level set, also where it is far from flat.

    Of each node next to the surface the nearest point of the surface is known to first order. Other nodes have the
    distance from that of the nearest of these nodes: within three nodes from the plane there, else from the point.
    """
    value = field - np.float32(level)
    gradient = np.stack(np.gradient(value))
    square = np.maximum((gradient * gradient).sum(0), np.float32(1e-12))
    beside = np.abs(value) < np.float32(0.9) * np.sqrt(square)
    if not beside.any():
        return np.full(field.shape, FAR, np.float32)
    nearest = ndimage.distance_transform_edt(~beside, return_distances=False, return_indices=True)
    gradient /= np.sqrt(square)
    nodes = np.indices(field.shape, np.float32)
    points = nodes - gradient * (value / np.sqrt(square))
    z, y, x = nearest
    apart = nodes - points[:, z, y, x]
    distance = np.copysign(np.sqrt((apart * apart).sum(0)), value)
    plane = (apart * gradient[:, z, y, x]).sum(0)
    return np.where(np.abs(distance) < 3, plane, distance).astype(np.float32)


def _slope(field: Field) -> Field:
    return np.sqrt(sum(g * g for g in np.gradient(field)), dtype=np.float32)


def unit_vector(rng: np.random.Generator) -> Field:
    """Return a random direction."""
    v = rng.standard_normal(3)
    return np.asarray(v / np.linalg.norm(v), np.float32)


def gauss(s: Field, width: float) -> Field:
    """Return a Gaussian of unit height."""
    return np.exp(np.float32(-0.5 / width**2) * s * s, dtype=np.float32)
