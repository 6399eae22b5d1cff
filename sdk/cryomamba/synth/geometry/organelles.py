"""Organelles of analytic shape: cristae of random waves, nested and touching vesicles, short tubules, wavy sheets."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.objects import Membrane, unit_vectors
from cryomamba.synth.spec import PhantomSpec
from cryomamba.synth.surfaces import Points, Sheet, Surface, first_order_distance

_WAVES = 24


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

    body: Surface
    shell: Surface
    rounding_A: float = 60.0

    def implicit(self, points: Points) -> tuple[Points, Points]:
        """Return the smooth maximum of both values (n,) and its gradient (n, 3)."""
        (a, da), (b, db) = self.body.implicit(points), self.shell.implicit(points)
        half = np.clip(0.5 + 0.5 * (a - b) / self.rounding_A, 0, 1)
        value = b + (a - b) * half + self.rounding_A * half * (1 - half)
        return value.astype(np.float32), da * half[:, None] + db * (1 - half)[:, None]


def organelles(spec: PhantomSpec, rng: np.random.Generator) -> list[Membrane]:
    """Draw kinds in turn until the volume is well filled; what would cross something drawn before is dropped."""
    extent = np.asarray(spec.extent_A, np.float32)
    kinds = (_sheet, _cristae, _nested, _tube, _small)
    wanted = max(4, round(float(np.prod(extent)) / 3.5e8))
    placed: list[Membrane] = []
    for attempt in range(40 * wanted):
        if len(placed) >= wanted:
            break
        new = kinds[0 if attempt < 4 else 1 + attempt % 4](spec, rng)
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


def _sheet(spec: PhantomSpec, rng: np.random.Generator) -> list[Membrane]:
    extent = np.asarray(spec.extent_A, np.float32)
    normal = rng.standard_normal(3) * (0.3, 1, 1)
    normal /= np.linalg.norm(normal)
    across = np.cross(normal, rng.standard_normal((2, 3)))
    waves = across / np.linalg.norm(across, axis=1, keepdims=True) * (2 * np.pi / rng.uniform(2500, 6000, 2))[:, None]
    origin, gap = rng.uniform(0.1, 0.9, 3) * extent, rng.uniform(110, 220)
    sheets = []
    for level in range(rng.integers(1, 4)):
        parts = (origin + normal * gap * level, normal, waves, rng.uniform(0, 0.5, 2), np.full(2, 40.0))
        surface = Sheet(*(np.asarray(part, np.float32) for part in parts))
        sheets.append(Membrane(surface, rng.uniform(*spec.thickness_A), surface.origin, np.inf))
    return sheets


def _ball(centre: NDArray[np.float64], radius: float, rng: np.random.Generator) -> Ball:
    waves = unit_vectors(rng, 3) * np.float32(2 * np.pi / (3.5 * radius))
    return Ball(centre.astype(np.float32), radius, waves, rng.uniform(0, 6, 3).astype(np.float32), 0.05 * radius)


def _closed(ball: Ball, spec: PhantomSpec, rng: np.random.Generator) -> Membrane:
    return Membrane(ball, rng.uniform(*spec.thickness_A), ball.centre, 1.3 * ball.radius_A)


def _cristae(spec: PhantomSpec, rng: np.random.Generator) -> list[Membrane]:
    extent = np.asarray(spec.extent_A, np.float32)
    radius = min(rng.uniform(500, 900), 0.45 * float(extent.max()))
    outer = _ball(rng.uniform(0, 1, 3) * extent, radius, rng)
    inner = Ball(outer.centre, radius - rng.uniform(110, 150), outer.waves, outer.phases, outer.depth_A)
    lengths = rng.uniform(700, 1300, _WAVES).astype(np.float32)
    vectors = unit_vectors(rng, _WAVES) * (2 * np.pi / lengths)[:, None].astype(np.float32)
    phases = rng.uniform(0, 2 * np.pi, _WAVES).astype(np.float32)
    folds = Within(Waves(vectors, phases, float(rng.uniform(-60, 60))), inner)
    return [_closed(outer, spec, rng), Membrane(folds, rng.uniform(*spec.thickness_A), outer.centre, 1.2 * radius)]


def _nested(spec: PhantomSpec, rng: np.random.Generator) -> list[Membrane]:
    extent = np.asarray(spec.extent_A, np.float32)
    radius = rng.uniform(250, 600)
    centre = rng.uniform(0, 1, 3) * extent
    balls = [_ball(centre, radius, rng)]
    if radius > 350:
        balls.append(_ball(centre, radius * rng.uniform(0.3, 0.5), rng))
    return [_closed(ball, spec, rng) for ball in balls]


def _small(spec: PhantomSpec, rng: np.random.Generator) -> list[Membrane]:
    extent = np.asarray(spec.extent_A, np.float32)
    radius, centre = rng.uniform(130, 250), rng.uniform(0, 1, 3) * extent
    first = _ball(centre, radius, rng)
    other = rng.uniform(130, 250)
    second = _ball(centre + unit_vectors(rng, 1)[0] * (1.1 * (radius + other) + 56), other, rng)
    return [_closed(first, spec, rng), _closed(second, spec, rng)]


def _tube(spec: PhantomSpec, rng: np.random.Generator) -> list[Membrane]:
    extent = np.asarray(spec.extent_A, np.float32)
    way, side = unit_vectors(rng, 2) * np.array((0.5, 1, 1), np.float32)
    run = np.linspace(-0.5, 0.5, 12, dtype=np.float32)[:, None]
    length = np.float32(rng.uniform(600, 1800))
    line = rng.uniform(0, 1, 3).astype(np.float32) * extent + way * run * length + side * run**2 * length
    radius = float(rng.uniform(110, 250))
    middle = line.mean(axis=0)
    reach = float(np.linalg.norm(line - middle, axis=1).max()) + radius
    return [Membrane(Tube(line, radius), rng.uniform(*spec.thickness_A), middle, 1.05 * reach)]
