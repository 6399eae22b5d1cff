"""Rasterization of a phantom's objects into voxels."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.lattice import SampledSurface
from cryomamba.synth.objects import Filament, Membrane, Spheres
from cryomamba.synth.profiles import PROFILES, ProfileName
from cryomamba.synth.spec import FILAMENT, MEMBRANE
from cryomamba.synth.surfaces import distance, first_order_distance

_BLOCK = 8
_BLOCKS_AT_ONCE = 64
_HOLLOW_FROM_A = 150.0
_RIM_A = 15.0
Points = NDArray[np.float32]
Indices = NDArray[np.int64]
Hidden = Callable[[Points], NDArray[np.bool_]]
"""Returns for the unit normals (n, 3) of membranes whether the tilt series hides them."""


@dataclass(frozen=True)
class Canvas:
    """Density, labels and hidden membrane to draw into, all ZYX, and the voxel size in Å along z, y, x.

    A membrane is never covered by another label.
    """

    density: NDArray[np.float32]
    ground_truth: NDArray[np.uint8]
    hidden: NDArray[np.bool_]
    voxel_size_A: tuple[float, float, float]

    @classmethod
    def empty(cls, shape: tuple[int, int, int], voxel_size_A: tuple[float, float, float]) -> "Canvas":
        """Return a canvas with nothing drawn."""
        return cls(np.zeros(shape, np.float32), np.zeros(shape, np.uint8), np.zeros(shape, np.bool_), voxel_size_A)

    @property
    def blur_A(self) -> float:
        """Standard deviation in Å of the Gaussian that approximates averaging over a voxel."""
        return float(np.cbrt(np.prod(self.voxel_size_A)) / np.sqrt(12))

    def slab(self, first: int, last: int) -> "Canvas":
        """Return the planes from `first` to before `last`; what is drawn there is drawn here."""
        z = slice(first, last)
        return Canvas(self.density[z], self.ground_truth[z], self.hidden[z], self.voxel_size_A)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        z, y, x = self.density.shape
        return z, y, x

    def points(self, voxels: Indices) -> Points:
        """Return the centres (n, 3) of voxels in Å."""
        return np.asarray(voxels * np.asarray(self.voxel_size_A, np.float32), np.float32)

    def planes(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_]]]:
        """Yield density, labels and hidden membrane of each z."""
        yield from zip(self.density, self.ground_truth, self.hidden, strict=True)

    def box(self, low_A: NDArray[np.floating], high_A: NDArray[np.floating]) -> tuple[Indices, Indices]:
        """Return the first and the one-past-last voxel (z, y, x) of a box in Å, clipped to the volume."""
        size = np.asarray(self.voxel_size_A)
        first = np.maximum(np.ceil(low_A / size), 0)
        last = np.minimum(np.floor(high_A / size) + 1, self.density.shape)
        return first.astype(np.int64), np.maximum(last, first).astype(np.int64)


def soft_step(outside_A: Points, edge_A: float) -> Points:
    """Return 1 inside to 0 outside, with a soft edge of about `edge_A`."""
    return np.asarray(0.5 - 0.5 * np.tanh(outside_A * np.float32(2 / edge_A)), np.float32)


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


def _near_voxels(canvas: Canvas, membrane: Membrane, band_A: float) -> Iterator[tuple[Indices, Points, Points]]:
    """Yield voxels (n, 3) near the mid-surface, their signed distances (n,) in Å, and unit normals (n, 3)."""
    if isinstance(membrane.surface, SampledSurface):
        yield from _near_voxels_of_lattice(canvas, membrane.surface, band_A)
        return
    within = np.stack(np.meshgrid(*[np.arange(_BLOCK)] * 3, indexing="ij"), -1).reshape(1, -1, 3)
    for corners in _near_blocks(canvas, membrane, band_A):
        voxels = (corners[:, None] + within).reshape(-1, 3)
        voxels = voxels[(voxels < canvas.density.shape).all(axis=1)]
        points = canvas.points(voxels)
        close = np.abs(first_order_distance(membrane.surface, points)) < 1.3 * band_A
        away, normal = distance(membrane.surface, points[close])
        yield voxels[close], away, normal


def _near_voxels_of_lattice(
    canvas: Canvas, surface: SampledSurface, band_A: float
) -> Iterator[tuple[Indices, Points, Points]]:
    """Yield the same plane by plane: first-order distances everywhere, and one step to the foot point where near."""
    for z, plane in enumerate(surface.planes(canvas.shape, canvas.voxel_size_A)):
        slope = np.linalg.norm(plane[..., 1:], axis=-1)
        y, x = np.nonzero(np.abs(plane[..., 0]) < 1.3 * band_A * slope)
        near, length = plane[y, x], np.maximum(slope[y, x], 1e-6)
        away, normal = near[:, 0] / length, near[:, 1:] / length[:, None]
        voxels = np.stack([np.full(len(y), z), y, x], 1)
        value, gradient = surface.implicit(canvas.points(voxels) - normal * away[:, None])
        yield voxels, away + value / np.maximum(np.linalg.norm(gradient, axis=1), 1e-6), normal


def draw_membrane(
    canvas: Canvas, membrane: Membrane, profile: ProfileName = "bilayer", hidden: Hidden | None = None
) -> None:
    """Add a membrane to density and labels, and mark what of it is hidden."""
    half = 0.5 * membrane.thickness_A
    for voxels, away, normal in _near_voxels(canvas, membrane, half + 3 * canvas.blur_A + 15):
        inside = np.abs(away) <= half
        density = PROFILES[profile](away, membrane.thickness_A, canvas.blur_A)
        if membrane.bound is not None:
            beyond = first_order_distance(membrane.bound, canvas.points(voxels))
            density *= soft_step(beyond, _RIM_A + canvas.blur_A)
            inside &= beyond <= 0
        _add_membrane(canvas, voxels, density)
        canvas.ground_truth[tuple(voxels[inside].T)] = MEMBRANE
        canvas.hidden[tuple(voxels[inside].T)] = False if hidden is None else hidden(normal[inside])


def _add_membrane(canvas: Canvas, voxels: Indices, density: Points) -> None:
    """Where membranes meet, the stronger density counts, so that touching leaflets do not add up."""
    z, y, x = voxels.T
    there = canvas.density[z, y, x]
    canvas.density[z, y, x] = np.where(np.abs(density) > np.abs(there), density, there)


def draw_spheres(canvas: Canvas, spheres: Spheres, label: int | None = None) -> None:
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
        canvas.density[where] += density * soft_step(away, edge)
        if label is not None:
            _label(canvas.ground_truth[where], away <= 0, label)


def _label(labels: NDArray[np.uint8], inside: NDArray[np.bool_], label: int) -> None:
    labels[inside & (labels != MEMBRANE)] = label


def draw_filament(canvas: Canvas, filament: Filament, *, tube: bool) -> None:
    """Label the inside of a filament, and with `tube` add a smooth tube; a wide one is hollow, its wall 50 Å thick."""
    size = np.asarray(canvas.voxel_size_A, np.float32)
    line, radius = filament.line_A, 0.5 * filament.diameter_A
    edge = max(8.0, canvas.blur_A * 1.5)
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
        if tube:
            wall = soft_step(away - radius, edge)
            if filament.diameter_A >= _HOLLOW_FROM_A:
                wall -= soft_step(away - radius + 50, edge)
            canvas.density[z, low[1] : high[1], low[2] : high[2]] += wall
        else:
            # The subunits end at the planes across the ends of the line, a tube has round ends.
            away[_beyond_ends(points, line).reshape(rows.shape)] = np.inf
        _label(canvas.ground_truth[z, low[1] : high[1], low[2] : high[2]], away <= radius, FILAMENT)


def _beyond_ends(points: Points, line: Points) -> NDArray[np.bool_]:
    """Return whether points (n, 3) near an end of a line lie past the plane across it."""
    past_first = (points - line[0]) @ (line[0] - line[1]) > 0
    past_last = (points - line[-1]) @ (line[-1] - line[-2]) > 0
    middle = line[len(line) // 2]
    nearer = [np.linalg.norm(points - end, axis=1) < np.linalg.norm(points - middle, axis=1) for end in line[[0, -1]]]
    return np.asarray((past_first & nearer[0]) | (past_last & nearer[1]), np.bool_)


def _distance_to_polyline(points: Points, line: Points) -> Points:
    nearest = np.full(len(points), np.inf, np.float32)
    for start, end in itertools.pairwise(line):
        segment = end - start
        offset = points - start
        share = np.clip(offset @ segment / (segment @ segment), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(offset - share[:, None] * segment, axis=1))
    return nearest
