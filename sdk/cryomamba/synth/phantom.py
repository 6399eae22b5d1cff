"""Phantoms: density and labels from a specification."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.placement import place_objects
from cryomamba.synth.render import Canvas, draw_filament, draw_ice, draw_membrane, draw_spheres
from cryomamba.synth.spec import FIDUCIAL, FILAMENT, PARTICLE, PhantomSpec
from cryomamba.synth.wedge import apply_wedge


@dataclass(frozen=True)
class Phantom:
    """A synthetic tomogram and its ground truth.

    Attributes
    ----------
    density : array of shape (z, y, x), float32
        The tomogram: mean about 0, a membrane leaflet about 1 (−1 for dark contrast) before noise and missing wedge.
    ground_truth : array of shape (z, y, x), uint8
        Labels, see `LABELS`. A voxel is membrane if its centre is within half the thickness of the surface, measured
        along the normal.
    voxel_size_A : tuple of float
        Voxel size in Å along z, y, x.
    particles_A : array of shape (n, 3), float32
        Centres of the particles in Å from the first voxel's centre, z, y, x.
    filaments_A : list of arrays of shape (n, 3), float32
        Centerlines of the filaments as polylines, likewise.
    spec : PhantomSpec
        The specification; the same one always gives the same phantom.
    """

    density: NDArray[np.float32]
    ground_truth: NDArray[np.uint8]
    voxel_size_A: tuple[float, float, float]
    particles_A: NDArray[np.float32]
    filaments_A: list[NDArray[np.float32]]
    spec: PhantomSpec

    @property
    def seed(self) -> int:
        """Seed of the specification."""
        return self.spec.seed


def synthesize(spec: PhantomSpec) -> Phantom:
    """Return the phantom of a specification.

    Positions are drawn in Å, so the same seed and physical size give the same objects at any voxel size.
    Memory is about 5 bytes per voxel for the result plus a few hundred MB; 512³ takes about half a minute.

    Parameters
    ----------
    spec : PhantomSpec

    Returns
    -------
    Phantom
        Density and labels, both ZYX.
    """
    objects = place_objects(spec)
    canvas = Canvas(np.zeros(spec.shape, np.float32), np.zeros(spec.shape, np.uint8), spec.voxel_size_A)
    for membrane in objects.membranes:
        draw_membrane(canvas, membrane, spec.missing_wedge_deg)
    draw_spheres(canvas, objects.background, label=None)
    for line in objects.filaments:
        draw_filament(canvas, line, spec.filament_diameter_A, FILAMENT)
    draw_spheres(canvas, objects.particles, PARTICLE)
    if objects.lamella_surfaces is not None:
        draw_ice(canvas, objects.lamella_surfaces)
    draw_spheres(canvas, objects.fiducials, FIDUCIAL)
    _degrade(canvas.density, spec)
    return Phantom(
        canvas.density, canvas.ground_truth, spec.voxel_size_A, objects.particles.centres_A, objects.filaments, spec
    )


def _degrade(density: NDArray[np.float32], spec: PhantomSpec) -> None:
    deviation = spec.noise * np.sqrt(1000.0 / np.prod(spec.voxel_size_A))
    rng = np.random.default_rng([spec.seed, 1])
    for plane in density:
        plane += np.float32(deviation) * rng.standard_normal(plane.shape, np.float32)
    if spec.missing_wedge_deg is not None:
        apply_wedge(density, spec.voxel_size_A, spec.missing_wedge_deg)
    density -= np.float32(density.mean(dtype=np.float64))
    if spec.contrast == "dark":
        np.negative(density, out=density)
