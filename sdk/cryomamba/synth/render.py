"""Rasterization of a phantom's objects into voxels."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.placement import Membrane, Spheres
from cryomamba.synth.spec import MEMBRANE, MEMBRANE_IN_WEDGE
from cryomamba.synth.surfaces import Sheet, distance, first_order_distance

_BLOCK = 8
_BLOCKS_AT_ONCE = 64
_HOLLOW_FROM_A = 150.0
_ICE_DENSITY = 0.6
Points = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Canvas:
    """Density and labels to draw into, both ZYX, and the voxel size in Å along z, y, x."""

    density: NDArray[np.float32]
    ground_truth: NDArray[np.uint8]
    voxel_size_A: tuple[float, float, float]

    @property
    def blur_A(self) -> float:
        """Standard deviation in Å of the Gaussian that approximates averaging over a voxel."""
        return float(np.cbrt(np.prod(self.voxel_size_A)) / np.sqrt(12))

    def box(self, low_A: Points, high_A: Points) -> tuple[Indices, Indices]:
        """Return the first and the one-past-last voxel (z, y, x) of a box in Å, clipped to the volume."""
        size = np.asarray(self.voxel_size_A)
        first = np.maximum(np.ceil(low_A / size), 0)
        last = np.minimum(np.floor(high_A / size) + 1, self.density.shape)
        return first.astype(np.int64), np.maximum(last, first).astype(np.int64)


def _smoothed_gauss(distance_A: Points, sigma: float, blur: float) -> Points:
    wide = float(np.hypot(sigma, blur))
    return np.asarray(np.exp(-0.5 * (distance_A / wide) ** 2) * (sigma / wide), np.float32)


def _soft_step(outside_A: Points, edge_A: float) -> Points:
    """Return 1 inside to 0 outside, with a soft edge of about `edge_A`."""
    return np.asarray(0.5 - 0.5 * np.tanh(outside_A * np.float32(2 / edge_A)), np.float32)


def bilayer_profile(distance_A: Points, thickness_A: float, blur_A: float) -> Points:
    """Return the density profile across a bilayer: two dense leaflets and a light core between them.

    The profile is the sum of three Gaussians (Nagle and Tristram-Nagle, BBA 2000), each averaged over the
    voxel; a leaflet reaches about 1 at fine voxels.

    Parameters
    ----------
    distance_A : array of shape (n,)
        Distance from the midplane of the bilayer in Å.
    thickness_A : float
        Thickness in Å; the head groups' centres are 7 Å from either side.
    blur_A : float
        Standard deviation of the averaging in Å.
    """
    head = thickness_A / 2 - 7
    leaflets = _smoothed_gauss(distance_A - head, 7, blur_A) + _smoothed_gauss(distance_A + head, 7, blur_A)
    return leaflets - 0.25 * _smoothed_gauss(distance_A, 6, blur_A)


def _near_blocks(canvas: Canvas, membrane: Membrane, band_A: float) -> Iterator[Indices]:
    """Yield corners (n, 3) of blocks of voxels that may come within `band_A` of the surface."""
    size = np.asarray(canvas.voxel_size_A, np.float32)
    reach = membrane.reach_A + band_A
    first, last = canvas.box(membrane.centre - reach, membrane.centre + reach)
    half = 0.5 * _BLOCK * size
    limit = 1.8 * float(np.linalg.norm(half)) + band_A
    for z in range(first[0], last[0], _BLOCK):
        axes = ([z], range(first[1], last[1], _BLOCK), range(first[2], last[2], _BLOCK))
        corners = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3).astype(np.int64)
        centres = (corners * size + half).astype(np.float32)
        near = corners[np.abs(first_order_distance(membrane.surface, centres)) < limit]
        for start in range(0, len(near), _BLOCKS_AT_ONCE):
            yield near[start : start + _BLOCKS_AT_ONCE]


def draw_membrane(canvas: Canvas, membrane: Membrane, max_tilt_deg: float | None) -> None:
    """Add a membrane to density and labels; parts whose normal lies in the missing wedge get their own label."""
    size = np.asarray(canvas.voxel_size_A, np.float32)
    half = 0.5 * membrane.thickness_A
    band = half + 3 * canvas.blur_A + 15
    within = np.stack(np.meshgrid(*[np.arange(_BLOCK)] * 3, indexing="ij"), -1).reshape(1, -1, 3)
    steepest = np.inf if max_tilt_deg is None else np.tan(np.radians(max_tilt_deg))
    for corners in _near_blocks(canvas, membrane, band):
        voxels = (corners[:, None] + within).reshape(-1, 3)
        voxels = voxels[(voxels < canvas.density.shape).all(axis=1)]
        points = (voxels * size).astype(np.float32)
        close = np.abs(first_order_distance(membrane.surface, points)) < 1.3 * band
        voxels = voxels[close]
        away, normal = distance(membrane.surface, points[close])
        z, y, x = voxels.T
        profile = bilayer_profile(away, membrane.thickness_A, canvas.blur_A)
        there = canvas.density[z, y, x]
        canvas.density[z, y, x] = np.where(np.abs(profile) > np.abs(there), profile, there)
        in_wedge = np.abs(normal[:, 0]) > steepest * np.abs(normal[:, 2])
        label = np.where(in_wedge, MEMBRANE_IN_WEDGE, MEMBRANE).astype(np.uint8)
        inside = np.abs(away) <= half
        canvas.ground_truth[z[inside], y[inside], x[inside]] = label[inside]


def draw_spheres(canvas: Canvas, spheres: Spheres, label: int | None) -> None:
    """Add soft-edged spheres to the density and, with a `label`, to the labels."""
    size = np.asarray(canvas.voxel_size_A, np.float32)
    edge = max(8.0, canvas.blur_A * 1.5)
    for centre, diameter, density in zip(spheres.centres_A, spheres.diameters_A, spheres.densities, strict=True):
        reach = 0.5 * diameter + 3 * edge
        first, last = canvas.box(centre - reach, centre + reach)
        if (last <= first).any():
            continue
        axes = [
            (np.arange(a, b, dtype=np.float32) * s - c) ** 2
            for a, b, s, c in zip(first, last, size, centre, strict=True)
        ]
        away = np.sqrt(axes[0][:, None, None] + axes[1][:, None] + axes[2]) - np.float32(0.5 * diameter)
        where = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        canvas.density[where] += density * _soft_step(away, edge)
        if label is not None:
            canvas.ground_truth[where][away <= 0] = label


def draw_filament(canvas: Canvas, line: Points, diameter_A: float, label: int) -> None:
    """Add a tube around a polyline (n, 3) in Å; a wide one is hollow with a wall of 50 Å."""
    size = np.asarray(canvas.voxel_size_A, np.float32)
    radius, edge = 0.5 * diameter_A, max(8.0, canvas.blur_A * 1.5)
    reach = radius + 3 * edge
    first, last = canvas.box(line.min(axis=0) - reach, line.max(axis=0) + reach)
    for z in range(first[0], last[0]):
        nearby = line[np.abs(line[:, 0] - z * size[0]) <= reach + np.linalg.norm(np.diff(line, axis=0)[0])]
        if len(nearby) < 2:
            continue
        low, high = canvas.box(nearby.min(axis=0) - reach, nearby.max(axis=0) + reach)
        rows, columns = np.meshgrid(np.arange(low[1], high[1]), np.arange(low[2], high[2]), indexing="ij")
        points = np.stack([np.full(rows.size, z), rows.ravel(), columns.ravel()], 1) * size
        away = _distance_to_polyline(points.astype(np.float32), nearby).reshape(rows.shape)
        wall = _soft_step(away - radius, edge)
        if diameter_A >= _HOLLOW_FROM_A:
            wall -= _soft_step(away - radius + 50, edge)
        canvas.density[z, low[1] : high[1], low[2] : high[2]] += wall
        canvas.ground_truth[z, low[1] : high[1], low[2] : high[2]][away <= radius] = label


def _distance_to_polyline(points: Points, line: Points) -> Points:
    nearest = np.full(len(points), np.inf, np.float32)
    for start, end in itertools.pairwise(line):
        segment = end - start
        offset = points - start
        share = np.clip(offset @ segment / (segment @ segment), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(offset - share[:, None] * segment, axis=1))
    return nearest


def draw_ice(canvas: Canvas, surfaces: tuple[Sheet, Sheet]) -> None:
    """Add ice between the two surfaces of a lamella, and clear density and labels above and below."""
    size = np.asarray(canvas.voxel_size_A, np.float32)
    height, width = canvas.density.shape[1:]
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    flat = np.stack([np.zeros(rows.size), rows.ravel() * size[1], columns.ravel() * size[2]], 1)
    bottom, top = ((-f.implicit(flat.astype(np.float32))[0] / f.normal[0]).reshape(height, width) for f in surfaces)
    edge = 50.0 + canvas.blur_A
    for z, (plane, labels) in enumerate(zip(canvas.density, canvas.ground_truth, strict=True)):
        depth = np.minimum(z * size[0] - bottom, top - z * size[0])
        inside = _soft_step(-depth.astype(np.float32), edge)
        plane += _ICE_DENSITY
        plane *= inside
        labels[depth < 0] = 0
