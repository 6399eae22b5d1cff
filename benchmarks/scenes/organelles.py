"""Scenes of another make than `cryomamba.synth`, to judge engines on what they were not built with.

Membranes here are level sets of random waves in pairs (cristae, stacks of endoplasmic reticulum), tubules, nested and
touching vesicles, and flat sheets that leave the volume; proteins are ellipsoids, on membranes too. A scene is then
imaged: contrast transfer of a microscope out of focus, noise of a spectrum that is not flat, a missing wedge, a lamella
with tilted faces and gold on it. Truth is as in `cryomamba.synth`: within half the thickness along the normal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.placement import Membrane, Spheres, unit_vectors
from cryomamba.synth.render import Canvas, draw_ice, draw_membrane, draw_spheres
from cryomamba.synth.spec import FIDUCIAL
from cryomamba.synth.surfaces import Sheet, first_order_distance
from cryomamba.synth.wedge import apply_wedge

Points = NDArray[np.float32]
_WAVES = 24
_GAIN = 2.0
"""Contrast transfer leaves half of a membrane's contrast; with this, `noise` means what it means in `PhantomSpec`."""


class _Body(Protocol):
    def implicit(self, points: Points) -> tuple[Points, Points]: ...


@dataclass(frozen=True)
class Waves:
    """A level set of a sum of plane waves; the value is divided by its root mean square slope, so that it is in Å."""

    vectors: Points
    phases: Points
    level_A: float

    def implicit(self, points: Points) -> tuple[Points, Points]:
        """Return value (n,) and gradient (n, 3)."""
        angles = points @ self.vectors.T + self.phases
        scale = np.float32(1 / np.sqrt(0.5 * (self.vectors**2).sum() / 3))
        value: Points = (scale * np.cos(angles).sum(axis=1) - np.float32(self.level_A)).astype(np.float32)
        slope: Points = (-scale * np.sin(angles) @ self.vectors).astype(np.float32)
        return value, slope


@dataclass(frozen=True)
class Tube:
    """A tube about a bent line; closed by round ends."""

    line: Points
    radius_A: float

    def implicit(self, points: Points) -> tuple[Points, Points]:
        """Return distance from the wall (n,) and its gradient (n, 3)."""
        nearest, way = np.full(len(points), np.inf, np.float32), np.zeros_like(points)
        for start, end in zip(self.line[:-1], self.line[1:], strict=True):
            along = end - start
            share = np.clip((points - start) @ along / (along @ along), 0, 1)
            offset = points - start - share[:, None] * along
            length = np.linalg.norm(offset, axis=1)
            closer = length < nearest
            nearest[closer], way[closer] = length[closer], offset[closer]
        slope: Points = (way / np.maximum(nearest, 1)[:, None]).astype(np.float32)
        return nearest - np.float32(self.radius_A), slope


@dataclass(frozen=True)
class Ball:
    """A round vesicle pressed a little out of shape by waves."""

    centre: Points
    radius_A: float
    waves: Points
    phases: Points
    depth_A: float

    def implicit(self, points: Points) -> tuple[Points, Points]:
        """Return approximate distance from the wall (n,) and its gradient (n, 3)."""
        offset = points - self.centre
        length = np.maximum(np.linalg.norm(offset, axis=1), 1)
        angles = offset @ self.waves.T + self.phases
        value = length - self.radius_A - self.depth_A * np.sin(angles).sum(axis=1)
        gradient = offset / length[:, None] - self.depth_A * np.cos(angles) @ self.waves
        return value.astype(np.float32), gradient.astype(np.float32)


@dataclass(frozen=True)
class Within:
    """What of a body lies inside another: the two are joined along a rounded rim."""

    body: _Body
    shell: _Body
    rounding_A: float = 60.0

    def implicit(self, points: Points) -> tuple[Points, Points]:
        """Return the smooth maximum of both values (n,) and its gradient (n, 3)."""
        (a, da), (b, db) = self.body.implicit(points), self.shell.implicit(points)
        half = np.clip(0.5 + 0.5 * (a - b) / self.rounding_A, 0, 1)
        value = b + (a - b) * half + self.rounding_A * half * (1 - half)
        return value.astype(np.float32), da * half[:, None] + db * (1 - half)[:, None]


@dataclass(frozen=True)
class Made:
    """A tomogram and its truth, ZYX, and the centres (n, 3) of the ribosomes in it, in Å from the first voxel's."""

    density: NDArray[np.float32]
    ground_truth: NDArray[np.uint8]
    ribosomes_A: Points


def make(shape: tuple[int, int, int], voxel_A: float, *, seed: int, noise: float, max_tilt_deg: float = 60.0) -> Made:
    """Make a scene; `noise` is the deviation in a voxel of 10 Å in units of a leaflet, as in `PhantomSpec`."""
    rng = np.random.default_rng([seed, 77])
    extent = np.asarray(shape, np.float32) * np.float32(voxel_A)
    canvas = Canvas(np.zeros(shape, np.float32), np.zeros(shape, np.uint8), (voxel_A,) * 3)
    membranes = _membranes(extent, rng)
    for membrane in membranes:
        draw_membrane(canvas, membrane, max_tilt_deg)
    proteins, ribosomes = crowd(extent, rng), _ribosomes(extent, membranes, rng)
    for balls in (proteins, ribosomes):
        draw_spheres(canvas, balls, label=None)
    faces = _faces(extent, rng)
    draw_ice(canvas, faces)
    draw_spheres(canvas, gold(extent, rng), FIDUCIAL)
    _image(canvas.density, voxel_A, rng, noise, max_tilt_deg)
    return Made(canvas.density, canvas.ground_truth, _between(faces, ribosomes.centres_A, extent))


def _membranes(extent: Points, rng: np.random.Generator) -> list[Membrane]:
    """Draw kinds in turn until the volume is well filled; what would cross something drawn before is dropped."""
    kinds = (_sheet, _cristae, _nested, _tube, _small)
    wanted = max(4, round(float(np.prod(extent)) / 3.5e8))
    placed: list[Membrane] = []
    for attempt in range(40 * wanted):
        if len(placed) >= wanted:
            break
        new = kinds[0 if attempt < 4 else 1 + attempt % 4](extent, rng)
        if not any(_cross(one, other, extent, rng) for one in new for other in placed):
            placed += new
    return placed


def _cross(one: Membrane, other: Membrane, extent: Points, rng: np.random.Generator) -> bool:
    """Whether two membranes come closer than 55 Å, centre to centre, anywhere in the volume."""
    low, high = np.zeros(3), extent.astype(np.float64)
    for membrane in (one, other):
        if np.isfinite(membrane.reach_A):
            low = np.maximum(low, membrane.centre - membrane.reach_A)
            high = np.minimum(high, membrane.centre + membrane.reach_A)
    if (low >= high).any():
        return False
    points = rng.uniform(low, high, (40_000, 3)).astype(np.float32)
    points = points[np.abs(first_order_distance(one.surface, points)) < 28]
    return bool(len(points)) and bool((np.abs(first_order_distance(other.surface, points)) < 28).any())


def _thickness(rng: np.random.Generator) -> float:
    return float(rng.uniform(40, 50))


def _sheet(extent: Points, rng: np.random.Generator) -> list[Membrane]:
    normal = rng.standard_normal(3) * (0.3, 1, 1)
    normal /= np.linalg.norm(normal)
    across = np.cross(normal, rng.standard_normal((2, 3)))
    waves = across / np.linalg.norm(across, axis=1, keepdims=True) * (2 * np.pi / rng.uniform(2500, 6000, 2))[:, None]
    origin, gap = rng.uniform(0.1, 0.9, 3) * extent, rng.uniform(110, 220)
    sheets = []
    for level in range(rng.integers(1, 4)):
        parts = (origin + normal * gap * level, normal, waves, rng.uniform(0, 0.5, 2), np.full(2, 40.0))
        surface = Sheet(*(np.asarray(part, np.float32) for part in parts))
        sheets.append(Membrane(surface, _thickness(rng), surface.origin, np.inf))
    return sheets


def _ball(centre: NDArray[np.float64], radius: float, rng: np.random.Generator) -> Ball:
    waves = unit_vectors(rng, 3) * np.float32(2 * np.pi / (3.5 * radius))
    return Ball(centre.astype(np.float32), radius, waves, rng.uniform(0, 6, 3).astype(np.float32), 0.05 * radius)


def _closed(ball: Ball, rng: np.random.Generator) -> Membrane:
    return Membrane(ball, _thickness(rng), ball.centre, 1.3 * ball.radius_A)


def _cristae(extent: Points, rng: np.random.Generator) -> list[Membrane]:
    radius = min(rng.uniform(500, 900), 0.45 * float(extent.max()))
    outer = _ball(rng.uniform(0, 1, 3) * extent, radius, rng)
    inner = Ball(outer.centre, radius - rng.uniform(110, 150), outer.waves, outer.phases, outer.depth_A)
    lengths = rng.uniform(700, 1300, _WAVES).astype(np.float32)
    vectors = unit_vectors(rng, _WAVES) * (2 * np.pi / lengths)[:, None].astype(np.float32)
    phases = rng.uniform(0, 2 * np.pi, _WAVES).astype(np.float32)
    folds = Within(Waves(vectors, phases, float(rng.uniform(-60, 60))), inner)
    return [_closed(outer, rng), Membrane(folds, _thickness(rng), outer.centre, 1.2 * radius)]


def _nested(extent: Points, rng: np.random.Generator) -> list[Membrane]:
    radius = rng.uniform(250, 600)
    centre = rng.uniform(0, 1, 3) * extent
    balls = [_ball(centre, radius, rng)]
    if radius > 350:
        balls.append(_ball(centre, radius * rng.uniform(0.3, 0.5), rng))
    return [_closed(ball, rng) for ball in balls]


def _small(extent: Points, rng: np.random.Generator) -> list[Membrane]:
    radius, centre = rng.uniform(130, 250), rng.uniform(0, 1, 3) * extent
    first = _ball(centre, radius, rng)
    other = rng.uniform(130, 250)
    second = _ball(centre + unit_vectors(rng, 1)[0] * (1.1 * (radius + other) + 56), other, rng)
    return [_closed(first, rng), _closed(second, rng)]


def _tube(extent: Points, rng: np.random.Generator) -> list[Membrane]:
    way, side = unit_vectors(rng, 2) * np.array((0.5, 1, 1), np.float32)
    run = np.linspace(-0.5, 0.5, 12, dtype=np.float32)[:, None]
    length = np.float32(rng.uniform(600, 1800))
    line = rng.uniform(0, 1, 3).astype(np.float32) * extent + way * run * length + side * run**2 * length
    radius = float(rng.uniform(110, 250))
    middle = line.mean(axis=0)
    reach = float(np.linalg.norm(line - middle, axis=1).max()) + radius
    return [Membrane(Tube(line, radius), _thickness(rng), middle, 1.05 * reach)]


def crowd(extent: Points, rng: np.random.Generator) -> Spheres:
    """Proteins of two or three lobes, so that they are not round."""
    count = round(float(np.prod(extent)) * rng.uniform(0.06, 0.12) / 9e5)
    centres = rng.uniform(0, extent, (count, 3))
    sizes = rng.gamma(4, 22, count).clip(40, 200)
    lobes = centres + unit_vectors(rng, count) * (0.55 * sizes)[:, None]
    dense = rng.uniform(0.3, 0.8, count)
    parts = (np.concatenate([centres, lobes]), np.concatenate([sizes, 0.8 * sizes]), np.concatenate([dense, dense]))
    return Spheres(*(part.astype(np.float32) for part in parts))


def _ribosomes(extent: Points, membranes: list[Membrane], rng: np.random.Generator) -> Spheres:
    """Large dense particles, half of them sitting on membranes."""
    count = round(float(np.prod(extent)) / 4e8)
    points = rng.uniform(0, extent, (40 * count, 3)).astype(np.float32)
    gap = np.min([np.abs(first_order_distance(m.surface, points)) for m in membranes], axis=0)
    on = points[(gap > 150) & (gap < 175)][: count // 2]
    free = points[gap > 260][: count - len(on)]
    centres = np.concatenate([on, free])
    return Spheres(centres, np.full(len(centres), 240, np.float32), np.full(len(centres), 0.7, np.float32))


def gold(extent: Points, rng: np.random.Generator) -> Spheres:
    count = rng.integers(1, 2 + round(float(np.prod(extent)) / 1.5e9))
    centres = rng.uniform(0, extent, (count, 3)).astype(np.float32)
    sizes, dense = rng.uniform(60, 150, count), rng.uniform(6, 18, count)
    return Spheres(centres, sizes.astype(np.float32), dense.astype(np.float32))


def _faces(extent: Points, rng: np.random.Generator) -> tuple[Sheet, Sheet]:
    margin, tilt = rng.uniform(0.04, 0.14), rng.uniform(-0.08, 0.08, 2)
    normal = np.array([1, *tilt]) / np.linalg.norm([1, *tilt])
    waves = np.concatenate([np.zeros((2, 1)), rng.uniform(-0.006, 0.006, (2, 2))], axis=1)
    faces = []
    for share in (margin, 1 - margin):
        origin = np.array([share * extent[0], 0.5 * extent[1], 0.5 * extent[2]])
        parts = (origin, normal, waves, rng.uniform(0, 6, 2), np.full(2, 20.0))
        faces.append(Sheet(*(np.asarray(part, np.float32) for part in parts)))
    return faces[0], faces[1]


def _between(faces: tuple[Sheet, Sheet], centres: Points, extent: Points) -> Points:
    """Return the places that lie between the faces of the lamella."""
    (bottom, _), (top, _) = (face.implicit(centres) for face in faces)
    seen = (bottom > 0) & (top < 0) & (centres < extent).all(axis=1)
    return np.asarray(centres[seen], np.float32)


def _image(
    density: NDArray[np.float32], voxel_A: float, rng: np.random.Generator, noise: float, max_tilt_deg: float
) -> None:
    """Apply contrast transfer, add noise that is stronger at low frequencies, remove the wedge; matter is dark."""
    defocus_A = float(rng.uniform(25_000, 45_000))
    _filter(density, voxel_A, lambda square: _GAIN * _transfer(square, defocus_A))
    deviation = noise * (10.0 / voxel_A) ** 1.5
    grain = np.float32(deviation) * rng.standard_normal(density.shape, np.float32)
    _filter(grain, voxel_A, lambda square: 0.9 + 0.5 * np.exp(-square / (2 * 0.008**2)))
    density += grain
    apply_wedge(density, (voxel_A,) * 3, max_tilt_deg)
    density -= np.float32(density.mean(dtype=np.float64))
    np.negative(density, out=density)


def _transfer(square: NDArray[np.float64], defocus_A: float) -> NDArray[np.float64]:
    """Return contrast transfer at 300 kV by squared frequency in 1/Å², up to its first zero; phases are flipped."""
    phase = np.pi * 0.0197 * defocus_A * square
    return np.abs(np.sin(phase + 0.3)) * np.exp(-100 * square)


def _filter(volume: NDArray[np.float32], voxel_A: float, transfer) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    spectrum = np.fft.rfftn(volume)
    kz, ky = (np.fft.fftfreq(n, voxel_A) for n in volume.shape[:2])
    kx = np.fft.rfftfreq(volume.shape[2], voxel_A)
    spectrum *= transfer(kz[:, None, None] ** 2 + ky[:, None] ** 2 + kx**2)
    volume[...] = np.fft.irfftn(spectrum, volume.shape)
