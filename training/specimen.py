"""A box of specimen, into which everything is drawn.

A scene is a cube of nodes. Membranes are bands around surfaces given by signed distances; everything else keeps out of
their way. Densities are relative to a membrane, and dense matter is positive. Lengths are in Å unless they are called
nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from training.fields import FAR, Field, smooth_field, unit_vector


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


def axis_distance(scene: Scene, bend: float) -> tuple[Field, Field, Field]:
    """Return the distance in nodes from a bent line, the position along it, and the angle around it."""
    rng = scene.rng
    way = unit_vector(rng)
    side = np.cross(way, unit_vector(rng))
    side = (side / np.linalg.norm(side)).astype(np.float32)
    start = (rng.uniform(0.05, 0.95, 3) * scene.side).astype(np.float32)
    offsets = [scene.z - start[0], scene.y - start[1], scene.x - start[2]]
    along = sum(o * w for o, w in zip(offsets, way, strict=True))
    across = sum(o * s for o, s in zip(offsets, side, strict=True)) - np.float32(bend) * along * along
    third = sum(o * t for o, t in zip(offsets, np.cross(way, side), strict=True))
    return np.hypot(third, across), along, np.arctan2(third, across)
