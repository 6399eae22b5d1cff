"""Scenes: the density and the classes of a random box of specimen, before imaging.

A scene is a cube of nodes. Membranes are bands around surfaces given by signed distances; everything else keeps out of
their way. Densities are relative to a membrane, and dense matter is positive. Lengths are in Å unless they are called
nodes.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from training.fields import FAR, Field, Mask, level_distance, smooth_field, unit_vector


class Class(enum.IntEnum):
    """What a node is, as `cryomamba_inference.network.model.Structure`."""

    BACKGROUND = 0
    MEMBRANE = 1
    PARTICLE = 2
    FILAMENT = 3
    FIDUCIAL = 4


Nodes = npt.NDArray[np.int64]

SMALLEST_PARTICLE_A = 100.0  # smaller globules are background


@dataclass
class Scene:
    """A box of specimen.

    Attributes
    ----------
    density : array (side, side, side), float32
    classes : array (side, side, side), uint8
    step_A : float
        Distance between nodes.
    gap_A : array (side, side, side), float32
        Distance from the nearest membrane's middle.
    """

    rng: np.random.Generator
    side: int
    step_A: float
    density: Field = field(init=False)
    classes: npt.NDArray[np.uint8] = field(init=False)
    gap_A: Field = field(init=False)

    def __post_init__(self) -> None:
        shape = (self.side,) * 3
        self.density = np.zeros(shape, np.float32)
        self.classes = np.zeros(shape, np.uint8)
        self.gap_A = np.full(shape, FAR, np.float32)
        axis = np.arange(self.side, dtype=np.float32)
        self.z, self.y, self.x = axis[:, None, None], axis[None, :, None], axis[None, None, :]

    def field(self, scale_A: float) -> Field:
        """Return a random field that varies over `scale_A`."""
        return smooth_field(self.rng, self.side, max(scale_A / self.step_A, 1.0))

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return bool(self.rng.random() < probability)


def make_scene(rng: np.random.Generator, side: int) -> Scene:
    """Return a random scene; 85 % have nodes 11 to 14 Å apart, the others wider, as in a coarse preview."""
    step = rng.uniform(11.0, 14.0) if rng.random() < 0.85 else np.exp(rng.uniform(np.log(14.0), np.log(36.0)))
    scene = Scene(rng, side, float(step))
    if scene.chance(0.82):
        for _ in range(rng.integers(1, 4)):
            kind = rng.choice(len(SURFACES), p=SURFACE_SHARES)
            draw_membranes(scene, list(SURFACES[kind](scene)))
    lamella = slab(scene) if scene.chance(0.3) else None
    if scene.chance(0.5):
        for _ in range(rng.integers(1, 7)):
            draw_filament(scene)
    draw_particles(scene)
    draw_crowding(scene)
    if lamella is not None:
        cut_to_slab(scene, lamella)
    if scene.chance(0.12):
        draw_contamination(scene)
    if scene.chance(0.06):
        draw_carbon(scene)
    if scene.chance(0.4):
        for _ in range(rng.integers(1, 5)):
            draw_gold(scene)
    return scene


# Surfaces: signed distances in Å


def cells(scene: Scene) -> Iterator[Field]:
    """Yield a level set of a random field, sometimes with a second membrane inside it."""
    distance = (
        level_distance(scene.field(max(scene.rng.uniform(130, 330), 6 * scene.step_A)), scene.rng.uniform(-1.3, 1.3))
        * scene.step_A
    )
    yield distance
    if scene.chance(0.35):
        yield distance - np.float32(scene.rng.uniform(110, 300))


def ellipsoids(scene: Scene) -> Iterator[Field]:
    """Yield deformed ellipsoids of any size, some with two membranes."""
    rng = scene.rng
    warp = scene.field(150)
    small = scene.chance(0.3)  # many vesicles, as at a synapse
    for _ in range(rng.integers(5, 16) if small else rng.integers(1, 6)):
        centre = rng.uniform(-0.1, 1.1, 3) * scene.side
        radii = (
            np.exp(rng.uniform(np.log(max(105, 4.2 * scene.step_A)), np.log(300 if small else 800)))
            * np.exp(rng.uniform(-0.3, 0.3, 3))
            / scene.step_A
        )
        turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        offsets = [scene.z - centre[0], scene.y - centre[1], scene.x - centre[2]]
        square = sum((sum(np.float32(turn[a, b] / radii[a]) * offsets[b] for b in range(3))) ** 2 for a in range(3))
        q = np.sqrt(square, dtype=np.float32) + np.float32(rng.uniform(0, 0.08)) * warp
        distance = level_distance(q, 1.0) * np.float32(scene.step_A)
        yield distance
        if scene.chance(0.2):
            yield distance + np.float32(rng.uniform(110, 260))


def sheets(scene: Scene) -> Iterator[Field]:
    """Yield a wavy sheet or a stack of them."""
    rng = scene.rng
    normal = unit_vector(rng)
    middle = scene.side / 2
    distance = (scene.z - middle) * normal[0] + (scene.y - middle) * normal[1] + (scene.x - middle) * normal[2]
    waves = scene.field(rng.uniform(180, 450)) * np.float32(rng.uniform(0, 9))
    first = np.float32(rng.uniform(-0.45, 0.45) * scene.side)
    distance = level_distance(distance + waves, first) * np.float32(scene.step_A)
    spacing = rng.uniform(95, 300)
    for level in range(rng.integers(1, 7)):
        yield distance - np.float32(level * spacing * rng.uniform(0.95, 1.05))


def tubes(scene: Scene) -> Iterator[Field]:
    """Yield bent tubes."""
    rng = scene.rng
    for _ in range(rng.integers(1, 4)):
        q = axis_distance(scene, bend=rng.uniform(0, 0.004))[0]
        q = q + scene.field(150) * np.float32(rng.uniform(0, 25) / scene.step_A)
        yield level_distance(q, rng.uniform(max(90, 4 * scene.step_A), 350) / scene.step_A) * np.float32(scene.step_A)


def cristae(scene: Scene) -> Iterator[Field]:
    """Yield an envelope of two membranes and folded sheets inside it."""
    rng = scene.rng
    outer = next(cells(scene))
    gap = np.float32(rng.uniform(110, 180))
    yield outer
    yield outer + gap
    for sheet in sheets(scene):
        # Beyond the inner membrane a fold ends.
        yield np.where(outer < -gap - np.float32(70), sheet, np.float32(FAR))


SURFACES: tuple[Callable[[Scene], Iterator[Field]], ...] = (cells, ellipsoids, sheets, tubes, cristae)
SURFACE_SHARES = (0.28, 0.28, 0.2, 0.14, 0.1)


def axis_distance(scene: Scene, bend: float) -> tuple[Field, Field]:
    """Return the distance in nodes from a bent line, and the position along it."""
    rng = scene.rng
    way = unit_vector(rng)
    side = np.cross(way, unit_vector(rng))
    side = (side / np.linalg.norm(side)).astype(np.float32)
    start = (rng.uniform(0.05, 0.95, 3) * scene.side).astype(np.float32)
    offsets = [scene.z - start[0], scene.y - start[1], scene.x - start[2]]
    along = sum(o * w for o, w in zip(offsets, way, strict=True))
    across = sum(o * s for o, s in zip(offsets, side, strict=True)) - np.float32(bend) * along * along
    square = sum(o * o for o in offsets) - along * along - (across + np.float32(bend) * along * along) ** 2
    return np.sqrt(np.maximum(square + across * across, 0), dtype=np.float32), along


# Membranes


def draw_membranes(scene: Scene, distances: list[Field]) -> None:
    """Draw surfaces of one organelle: one window, one thickness, profiles of one kind."""
    rng = scene.rng
    thickness = rng.uniform(34, 62)
    window = None
    if scene.chance(0.5):
        window = scene.field(rng.uniform(150, 400)) > rng.uniform(-2.0, 0.4)
    if scene.chance(0.15):
        pores = scene.field(rng.uniform(60, 120)) < rng.uniform(1.2, 2.2)
        window = pores if window is None else window & pores
    free = scene.gap_A > np.float32(thickness + 25)
    profile = random_profile(scene, thickness)
    amplitude = np.float32(rng.uniform(0.6, 1.4))
    uneven = 1 + np.float32(rng.uniform(0, 0.3)) * scene.field(60) if scene.chance(0.5) else np.float32(1)
    half_A = max(thickness / 2, 0.55 * scene.step_A)
    step = rng.uniform(-0.4, 0.4) if scene.chance(0.3) else 0.0
    studded = scene.chance(0.25)
    placed: list[tuple[Field, Mask]] = []
    for distance in distances:
        region = free if window is None else free & window
        near = np.abs(distance)
        band = (near < 2 * thickness) & region
        values = amplitude * uneven * profile(distance)
        np.maximum(scene.density, np.where(band, values, 0), out=scene.density)
        scene.classes[(near < half_A) & region] = Class.MEMBRANE
        if step:
            scene.density += np.float32(step) * np.clip(distance / 60, -1, 1) * region
        placed.append((distance, region))
    for distance, region in placed:
        if studded:
            stud(scene, distance, region, thickness)
        np.minimum(scene.gap_A, np.where(region, np.abs(distance), FAR), out=scene.gap_A)


def random_profile(scene: Scene, thickness_A: float) -> Callable[[Field], Field]:
    """Return the density by signed distance from the middle."""
    rng = scene.rng
    blur = np.hypot(6.0, 0.35 * scene.step_A)
    kind = rng.random()
    if kind < 0.6:  # two leaflets, often of unequal strength
        half = thickness_A / 2 - 7
        first, second = (1.0, rng.uniform(0.4, 1.0)) if scene.chance(0.3) else (1.0, 1.0)
        dip = rng.uniform(0, 0.4)
        return lambda s: np.asarray(
            first * gauss(s - half, blur) + second * gauss(s + half, blur) - dip * gauss(s, blur), np.float32
        )
    if kind < 0.85:  # one line
        width = thickness_A * rng.uniform(0.25, 0.42)
        return lambda s: gauss(s, np.hypot(width, 0.3 * scene.step_A))
    return lambda s: np.asarray(
        1 / (1 + np.exp(np.minimum((np.abs(s) - thickness_A / 2) / (0.5 * blur), 30))), np.float32
    )


def gauss(s: Field, width: float) -> Field:
    """Return a Gaussian of unit height."""
    return np.exp(np.float32(-0.5 / width**2) * s * s, dtype=np.float32)


def stud(scene: Scene, distance: Field, region: Mask, thickness_A: float) -> None:
    """Put protein on one side of a membrane or on both."""
    rng = scene.rng
    lumps = np.clip(scene.field(rng.uniform(18, 35)) - np.float32(rng.uniform(0.3, 1.3)), 0, 1.5)
    lumps *= np.float32(rng.uniform(0.3, 1.0))
    reach = thickness_A / 2 + rng.uniform(30, 90)
    side = rng.integers(0, 3)
    s = distance if side == 0 else -distance if side == 1 else np.abs(distance)
    where = (s > thickness_A / 2) & (s < reach) & region
    scene.density += lumps * where


# What is not membrane


def draw_filament(scene: Scene) -> None:
    """Draw a microtubule, an actin filament or a bundle of them."""
    rng = scene.rng
    hollow = scene.chance(0.5)
    radius = rng.uniform(115, 130) if hollow else rng.uniform(30, 50)
    q, along = axis_distance(scene, bend=rng.uniform(0, 0.0015))
    q, along = q * np.float32(scene.step_A), along * np.float32(scene.step_A)
    blur = np.hypot(10.0, 0.4 * scene.step_A)
    if hollow:
        density = gauss(q - (radius - 22), np.hypot(blur, 14))
        density += np.float32(rng.uniform(0, 0.25)) * (q < radius - 40)
    else:
        density = gauss(q, np.hypot(blur, radius * 0.55)) * (1 + np.float32(rng.uniform(0, 0.4)) * np.cos(along / 29))
    free = scene.gap_A > radius + 40
    if scene.chance(0.3):
        ends = np.sort(rng.uniform(-0.6, 0.6, 2)) * scene.side * scene.step_A
        free &= (along > ends[0]) & (along < ends[1])
    density *= np.float32(rng.uniform(0.4, 1.1))
    np.maximum(scene.density, np.where(free & (q < radius + 30), density, 0), out=scene.density)
    scene.classes[(q < max(radius, 0.6 * scene.step_A)) & free] = Class.FILAMENT


def draw_particles(scene: Scene) -> None:
    """Draw ribosomes and other large assemblies as lumps."""
    rng = scene.rng
    for _ in range(rng.integers(0, 3)):
        diameter = np.exp(rng.uniform(np.log(SMALLEST_PARTICLE_A), np.log(330)))
        ball = smooth_ball if scene.chance(0.35) else lumpy_ball
        stamps = [ball(rng, diameter / scene.step_A) for _ in range(5)]
        density = rng.uniform(0.5, 1.6)
        volume = (scene.side * scene.step_A) ** 3
        count = int(rng.uniform(0, 0.25) ** 1.5 * volume / diameter**3)
        attached = scene.chance(0.25)
        centres = place(scene, min(count, 400), diameter, attached=attached)
        for centre in centres:
            stamp, inside = stamps[rng.integers(len(stamps))]
            paste(scene, centre, stamp * np.float32(density), inside)


def place(scene: Scene, count: int, diameter: float, *, attached: bool) -> Nodes:
    """Return centres in nodes that keep their distance from each other and from membranes."""
    candidates = scene.rng.integers(0, scene.side, (4 * count, 3))
    gap = scene.gap_A[tuple(candidates.T)]
    low = 0.5 * diameter + 15
    good = (gap > low) & (gap < low + 60) if attached else gap > low
    kept: list[Nodes] = []
    taken = np.zeros((scene.side // 4 + 1,) * 3, bool)
    radius = max(1, round(diameter / scene.step_A / 4))
    for centre in candidates[good]:
        a, b, c = (int(v) // 4 for v in centre)
        if taken[a, b, c]:
            continue
        taken[
            max(a - radius, 0) : a + radius + 1,
            max(b - radius, 0) : b + radius + 1,
            max(c - radius, 0) : c + radius + 1,
        ] = True
        kept.append(centre)
        if len(kept) == count:
            break
    return np.array(kept, int).reshape(-1, 3)


def lumpy_ball(rng: np.random.Generator, diameter: float) -> tuple[Field, Mask]:
    """Return the density and the body of an irregular particle; `diameter` in nodes."""
    half = int(np.ceil(diameter * 0.65)) + 2
    axis = np.arange(-half, half + 1, dtype=np.float32)
    z, y, x = axis[:, None, None], axis[None, :, None], axis[None, None, :]
    density = np.zeros((2 * half + 1,) * 3, np.float32)
    stretch = np.exp(rng.uniform(-0.25, 0.25, 3))
    for _ in range(rng.integers(8, 26)):
        c = unit_vector(rng) * stretch * (diameter / 2 * rng.random() ** 0.5 * 0.75)
        width = max(diameter * rng.uniform(0.08, 0.16), 0.6)
        density += np.exp(-((z - c[0]) ** 2 + (y - c[1]) ** 2 + (x - c[2]) ** 2) / np.float32(2 * width * width))
    density = np.minimum(density, np.float32(1.3))
    return density, density > 0.35


def smooth_ball(rng: np.random.Generator, diameter: float) -> tuple[Field, Mask]:
    """Return the density and the body of a round particle, full or hollow; `diameter` in nodes."""
    half = int(np.ceil(diameter * 0.65)) + 2
    axis = np.arange(-half, half + 1, dtype=np.float32)
    square = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    depth = np.float32(diameter / 2) - np.sqrt(square * np.float32(np.exp(rng.uniform(-0.1, 0.1))))
    density = np.clip(depth / np.float32(rng.uniform(0.8, 2.0)) + 0.5, 0, 1)
    if rng.random() < 0.3:
        density *= 1 - np.float32(rng.uniform(0.2, 0.9)) * np.clip(depth - np.float32(rng.uniform(2, 4)), 0, 1)
    return density, depth > 0


def paste(scene: Scene, centre: Nodes, stamp: Field, inside: Mask | None) -> None:
    """Draw a stamp around a node; `inside` becomes particle."""
    half = len(stamp) // 2
    low = [max(c - half, 0) for c in centre]
    high = [min(c + half + 1, scene.side) for c in centre]
    if any(a >= b for a, b in zip(low, high, strict=True)):
        return
    into = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    part = tuple(slice(a - c + half, b - c + half) for a, b, c in zip(low, high, centre, strict=True))
    np.maximum(scene.density[into], stamp[part], out=scene.density[into])
    if inside is not None:
        classes = scene.classes[into]
        classes[inside[part] & (classes == Class.BACKGROUND)] = Class.PARTICLE


def draw_crowding(scene: Scene) -> None:
    """Draw small globules, and what is too crowded to be told apart as a correlated field."""
    rng = scene.rng
    if scene.chance(0.75):
        diameter = rng.uniform(35, 85)
        stamps = [lumpy_ball(rng, max(diameter / scene.step_A, 1.5))[0] for _ in range(4)]
        volume = (scene.side * scene.step_A) ** 3
        count = min(int(rng.uniform(0, 0.25) * volume / diameter**3), 3000)
        points = rng.integers(0, scene.side, (count, 3))
        points = points[scene.gap_A[tuple(points.T)] > diameter / 2 + 10]
        strength = np.float32(rng.uniform(0.2, 1.2))
        for point in points:
            paste(scene, point, stamps[rng.integers(4)] * strength, None)
    if scene.chance(0.6):
        strength = np.float32(rng.uniform(0, 0.45))
        scene.density += strength * scene.field(rng.uniform(12, 60)) * (scene.gap_A > 15)


def slab(scene: Scene) -> tuple[Field, float]:
    """Return the signed depth in Å inside a lamella or ice layer and how dense it is."""
    rng = scene.rng
    tilt = rng.uniform(-0.12, 0.12, 2)
    rough = scene.field(rng.uniform(150, 400)) * np.float32(rng.uniform(0, 20))
    thickness = rng.uniform(0.35, 0.95) * scene.side
    middle = rng.uniform(0.3, 0.7) * scene.side
    half = scene.side / 2
    height = scene.z - middle + np.float32(tilt[0]) * (scene.y - half) + np.float32(tilt[1]) * (scene.x - half)
    return (thickness / 2 - np.abs(height)) * np.float32(scene.step_A) + rough, rng.uniform(0.0, 0.9)


def cut_to_slab(scene: Scene, lamella: tuple[Field, float]) -> None:
    """Remove what is outside the layer, and draw what lies on its surfaces."""
    depth, ice = lamella
    inside = np.clip(depth / np.float32(1.5 * scene.step_A) + 0.5, 0, 1)
    scene.density = (scene.density + np.float32(ice)) * inside
    scene.classes[depth < 0] = Class.BACKGROUND
    if scene.chance(0.4):  # damaged or contaminated surface
        layer = gauss(depth, scene.rng.uniform(20, 90)) * (0.6 + 0.5 * scene.field(60))
        scene.density += np.float32(scene.rng.uniform(0, 0.8)) * layer


def draw_contamination(scene: Scene) -> None:
    """Draw ice crystals: large dense pieces with sharp or soft edges."""
    rng = scene.rng
    blob = scene.field(rng.uniform(150, 350)) + np.float32(0.15) * scene.field(40)
    soft = np.float32(rng.uniform(0.02, 0.3))
    piece = np.clip((blob - np.float32(rng.uniform(1.5, 2.4))) / soft, 0, 1)
    scene.density += np.float32(rng.uniform(-1.0, 3.0)) * piece
    scene.classes[piece > 0.5] = Class.BACKGROUND


def draw_carbon(scene: Scene) -> None:
    """Draw the edge of a carbon film."""
    rng = scene.rng
    angle = rng.uniform(0, 2 * np.pi)
    edge = (scene.y - scene.side / 2) * np.float32(np.sin(angle)) + (scene.x - scene.side / 2) * np.float32(
        np.cos(angle)
    )
    edge = edge + scene.field(200) * np.float32(3) - np.float32(rng.uniform(-0.3, 0.5) * scene.side)
    height = np.abs(scene.z - np.float32(rng.uniform(0.1, 0.9) * scene.side)) * np.float32(scene.step_A)
    film = np.clip(edge / 2, 0, 1) * (height < rng.uniform(50, 130))
    scene.density = np.where(film > 0.5, np.float32(1.2) + np.float32(0.5) * scene.field(20), scene.density)
    scene.classes[film > 0.5] = Class.BACKGROUND


def draw_gold(scene: Scene) -> None:
    """Draw a gold bead."""
    rng = scene.rng
    radius = rng.uniform(25, 80)
    c = rng.uniform(0, scene.side, 3).astype(np.float32)
    q = np.sqrt((scene.z - c[0]) ** 2 + (scene.y - c[1]) ** 2 + (scene.x - c[2]) ** 2) * np.float32(scene.step_A)
    scene.density += np.float32(rng.uniform(4, 18)) * np.clip((radius - q) / np.float32(scene.step_A) + 0.5, 0, 1)
    scene.classes[q < radius] = Class.FIDUCIAL
