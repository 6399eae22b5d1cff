"""From a recipe to a density and its labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.geometry import build_scene
from cryomamba.synth.render import Canvas, draw_balls, draw_filament, draw_membrane, hollow_out_vacuum
from cryomamba.synth.spec import FILAMENT, GOLD, PARTICLE, PhantomSpec
from cryomamba.synth.wedge import apply_wedge


@dataclass(frozen=True)
class Phantom:
    """A synthetic tomogram and what is in it.

    Attributes
    ----------
    density : array of shape (z, y, x), float32
        The tomogram: mean about 0, a membrane leaflet about 1 before noise and wedge (about −1 where dark).
    truth : array of shape (z, y, x), uint8
        Labels, see `LABELS`. A voxel is membrane where its centre lies within half the thickness of the
        surface, measured along the normal.
    voxel_size_A : tuple of float
        Voxel size in Å along z, y, x.
    particles_A : array of shape (n, 3), float32
        Centres of the particles in Å from the first voxel's centre, z, y, x.
    filaments_A : list of arrays of shape (n, 3), float32
        Centre lines of the filaments as polylines, likewise.
    spec : PhantomSpec
        The recipe; its seed makes the same phantom again.
    """

    density: NDArray[np.float32]
    truth: NDArray[np.uint8]
    voxel_size_A: tuple[float, float, float]
    particles_A: NDArray[np.float32]
    filaments_A: list[NDArray[np.float32]]
    spec: PhantomSpec

    @property
    def seed(self) -> int:
        """Seed of the recipe."""
        return self.spec.seed


def synthesize(spec: PhantomSpec) -> Phantom:
    """Make the phantom of a recipe.

    Positions are drawn in Å, so the same seed and physical size give the same scene at any voxel size.
    Memory is about 5 bytes per voxel for the result plus a few hundred MB; 512³ takes about half a minute.

    Parameters
    ----------
    spec : PhantomSpec
        The recipe.

    Returns
    -------
    Phantom
        Density and labels, both ZYX.
    """
    scene = build_scene(spec)
    canvas = Canvas(np.zeros(spec.shape, np.float32), np.zeros(spec.shape, np.uint8), spec.voxel_size_A)
    for membrane in scene.membranes:
        draw_membrane(canvas, membrane, spec.missing_wedge_deg)
    draw_balls(canvas, scene.crowd, label=None)
    for line in scene.filaments:
        draw_filament(canvas, line, spec.filament_diameter_A, FILAMENT)
    draw_balls(canvas, scene.particles, PARTICLE)
    if scene.faces is not None:
        hollow_out_vacuum(canvas, scene.faces)
    draw_balls(canvas, scene.gold, GOLD)
    _degrade(canvas.density, spec)
    return Phantom(
        canvas.density,
        canvas.truth,
        spec.voxel_size_A,
        scene.particles.centres_A,
        scene.filaments,
        spec,
    )


def _degrade(density: NDArray[np.float32], spec: PhantomSpec) -> None:
    """Add noise, take away the wedge and set the contrast, in place."""
    deviation = spec.noise * np.sqrt(1000.0 / np.prod(spec.voxel_size_A))
    rng = np.random.default_rng([spec.seed, 1])
    for plane in density:
        plane += np.float32(deviation) * rng.standard_normal(plane.shape, np.float32)
    if spec.missing_wedge_deg is not None:
        apply_wedge(density, spec.voxel_size_A, spec.missing_wedge_deg)
    density -= np.float32(density.mean(dtype=np.float64))
    if spec.contrast == "dark":
        np.negative(density, out=density)
