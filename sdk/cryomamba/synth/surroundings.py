"""What surrounds a specimen: vacuum, damaged layers, carbon film, ice crystals, and a correlated background."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryomamba.synth.objects import unit_vectors
from cryomamba.synth.render import Canvas, soft_step
from cryomamba.synth.spec import PhantomSpec
from cryomamba.synth.surfaces import Sheet

_ICE_DENSITY = 0.6
_DAMAGED: Final = 0.35
"""Share of the structure that is left at a damaged surface."""
_GRAIN_A = 22.0
"""Standard deviation in Å of the filter that makes the correlated background, about that of a small protein."""
_CARBON_A = (180.0, 300.0)
_CARBON_DENSITY, _CARBON_GRAIN_A = 1.6, 9.0


def _heights(canvas: Canvas, surface: Sheet) -> NDArray[np.float32]:
    """Return where a lamella surface is, in Å along z, for each y and x."""
    size = np.asarray(canvas.voxel_size_A, np.float32)
    height, width = canvas.density.shape[1:]
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    flat = np.stack([np.zeros(rows.size), rows.ravel() * size[1], columns.ravel() * size[2]], 1)
    value = surface.implicit(flat.astype(np.float32))[0]
    return np.asarray((-value / surface.normal[0]).reshape(height, width), np.float32)


def draw_ice(canvas: Canvas, surfaces: tuple[Sheet, Sheet], damage_A: float = 0.0) -> None:
    """Add ice between the two surfaces of a lamella, clear what is above and below, fade what is just under them."""
    size = np.asarray(canvas.voxel_size_A, np.float32)
    bottom, top = (_heights(canvas, surface) for surface in surfaces)
    edge = 50.0 + canvas.blur_A
    for z, (plane, labels, hidden) in enumerate(canvas.planes()):
        depth = np.minimum(z * size[0] - bottom, top - z * size[0])
        inside = soft_step(-depth.astype(np.float32), edge)
        if damage_A:
            plane *= 1 - (1 - _DAMAGED) * np.exp(-np.maximum(depth, 0) / np.float32(damage_A)).astype(np.float32)
        plane += _ICE_DENSITY
        plane *= inside
        labels[depth < 0] = 0
        hidden[depth < 0] = False


def draw_correlated_background(canvas: Canvas, deviation: float, rng: np.random.Generator) -> None:
    """Add Gaussian noise that is correlated over a few nanometres, as unresolved molecules are."""
    grain = rng.standard_normal(canvas.density.shape, np.float32)
    grain = ndimage.gaussian_filter(grain, [_GRAIN_A / s for s in canvas.voxel_size_A], mode="wrap", truncate=3)
    canvas.density[...] += grain * np.float32(deviation / grain.std())


def draw_carbon(canvas: Canvas, spec: PhantomSpec, rng: np.random.Generator) -> None:
    """Add a carbon film with the round edge of its hole on one side of the specimen: dense, with fine grain."""
    _, height, width = spec.extent_A
    angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(6000, 9000)
    way = np.array([np.sin(angle), np.cos(angle)])
    size = canvas.voxel_size_A
    y, x = (np.arange(n)[:, None] * s for n, s in zip(canvas.density.shape[1:], size[1:], strict=True))
    offset = (y - 0.5 * height) * way[0] + (x.T - 0.5 * width) * way[1]
    across = (y - 0.5 * height) * way[1] - (x.T - 0.5 * width) * way[0]
    beyond = offset - np.square(across) / (2 * radius)
    beyond = np.asarray(beyond - np.quantile(beyond, 1 - spec.carbon), np.float32)
    thickness = rng.uniform(*_CARBON_A)
    low, high = spec.slab_A
    below = rng.random() < 0.5
    start = low[0] - 0.5 * thickness if below else high[0] - 0.5 * thickness
    first, last = (int(np.clip(v / size[0], 0, canvas.density.shape[0])) for v in (start - 40, start + thickness + 40))
    grain = rng.standard_normal((last - first, *canvas.density.shape[1:]), np.float32)
    grain = ndimage.gaussian_filter(grain, [_CARBON_GRAIN_A / s for s in size], mode="wrap", truncate=3)
    grain *= np.float32(0.35 * _CARBON_DENSITY / max(float(grain.std()), 1e-6)) if grain.size else 1
    for z, texture in zip(range(first, last), grain, strict=True):
        outside = max(start - z * size[0], z * size[0] - start - thickness)
        film = soft_step(-beyond, 30.0 + canvas.blur_A) * soft_step(
            np.asarray(outside, np.float32), 20.0 + canvas.blur_A
        )
        canvas.density[z] += film * (_CARBON_DENSITY + texture)


def draw_crystals(canvas: Canvas, spec: PhantomSpec, rng: np.random.Generator) -> None:
    """Add ice crystals, polyhedra of 30 to 140 nm, that lie on the lamella surfaces and reach into the specimen."""
    low, high = spec.slab_A
    depth, height, width = spec.extent_A
    for _ in range(spec.crystals):
        radius = min(rng.uniform(150, 700), 0.3 * depth)
        level = low[0] - 0.7 * radius if rng.random() < 0.5 else high[0] + 0.7 * radius
        centre = np.array(
            [np.clip(level, -0.5 * radius, depth + 0.5 * radius), rng.uniform(0, height), rng.uniform(0, width)]
        )
        normals = unit_vectors(rng, 12)
        offsets = radius * rng.uniform(0.6, 1.0, 12)
        first, last = canvas.box(centre - 1.6 * radius, centre + 1.6 * radius)
        axes = [np.arange(a, b) * s - c for a, b, s, c in zip(first, last, canvas.voxel_size_A, centre, strict=True)]
        z, y, x = (axis.astype(np.float32) for axis in axes)
        outside = np.full((len(z), len(y), len(x)), -np.inf, np.float32)
        for (a, b, c), offset in zip(normals, offsets, strict=True):
            face = a * z[:, None, None] + b * y[:, None] + c * x - np.float32(offset)
            np.maximum(outside, face, out=outside)
        where = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        round_off = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2) - np.float32(1.4 * radius)
        density = np.float32(rng.uniform(1.0, 2.2))
        canvas.density[where] += density * soft_step(np.maximum(outside, round_off), 25.0 + canvas.blur_A)
