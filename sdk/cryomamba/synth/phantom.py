"""Phantoms: density and labels from a specification."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.macromolecules import filament_spheres, particle_spheres
from cryomamba.synth.placement import PhantomGeometry, place_objects
from cryomamba.synth.render import Canvas, draw_filament, draw_membrane, draw_spheres
from cryomamba.synth.spec import FIDUCIAL, PARTICLE, FilamentKind, ParticleKind, PhantomSpec
from cryomamba.synth.surroundings import draw_carbon, draw_correlated_background, draw_crystals, draw_ice
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
        along the normal; all membrane counts, whether the tilt series shows it or not.
    membrane_in_wedge : array of shape (z, y, x), bool
        The membrane voxels whose normal lies in the missing wedge, which hides them.
    voxel_size_A : tuple of float
        Voxel size in Å along z, y, x.
    particles_A : array of shape (n, 3), float32
        Centres of the particles in Å from the first voxel's centre, z, y, x.
    particle_diameters_A : array of shape (n,), float32
        Largest diameter of each particle in Å.
    particle_kinds : tuple of str
        Kind of each particle.
    filaments_A : list of arrays of shape (n, 3), float32
        Centerlines of the filaments as polylines, likewise.
    filament_kinds : tuple of str
        Kind of each filament.
    spec : PhantomSpec
        The specification; the same one always gives the same phantom.
    """

    density: NDArray[np.float32]
    ground_truth: NDArray[np.uint8]
    membrane_in_wedge: NDArray[np.bool_]
    voxel_size_A: tuple[float, float, float]
    particles_A: NDArray[np.float32]
    particle_diameters_A: NDArray[np.float32]
    particle_kinds: tuple[ParticleKind, ...]
    filaments_A: list[NDArray[np.float32]]
    filament_kinds: tuple[FilamentKind, ...]
    spec: PhantomSpec

    @property
    def seed(self) -> int:
        """Seed of the specification."""
        return self.spec.seed


def synthesize(spec: PhantomSpec) -> Phantom:
    """Return the phantom of a specification.

    Positions are drawn in Å, so the same seed and physical size give the same objects at any voxel size.
    Memory is about 6 bytes per voxel for the result plus a few hundred MB; 512³ takes about half a minute.

    Parameters
    ----------
    spec : PhantomSpec

    Returns
    -------
    Phantom
        Density and labels, both ZYX.
    """
    phantom = clean_phantom(spec)
    _degrade(phantom.density, spec)
    return phantom


def clean_phantom(spec: PhantomSpec) -> Phantom:
    """Return the phantom of a specification before imaging: matter is positive, a leaflet about 1 at 10 Å."""
    objects = place_objects(spec)
    canvas = Canvas.empty(spec.shape, spec.voxel_size_A)
    for membrane in objects.membranes:
        draw_membrane(canvas, membrane, spec.profile, spec.missing_wedge_deg)
    _draw_content(canvas, objects, spec)
    return Phantom(
        canvas.density,
        canvas.ground_truth,
        canvas.hidden,
        spec.voxel_size_A,
        objects.particles.centres_A,
        objects.particles.diameters_A,
        objects.particles.kinds,
        [filament.line_A for filament in objects.filaments],
        tuple(filament.kind for filament in objects.filaments),
        spec,
    )


def _draw_content(canvas: Canvas, objects: PhantomGeometry, spec: PhantomSpec) -> None:
    """Add all but the membranes; what lies outside the lamella is vacuum but for crystals, carbon and gold."""
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence([spec.seed, 2]).spawn(4)]
    draw_spheres(canvas, objects.proteins)
    draw_spheres(canvas, objects.background)
    if spec.crowding_noise:
        draw_correlated_background(canvas, spec.crowding_noise, streams[0])
    for filament in objects.filaments:
        draw_filament(canvas, filament, tube=filament.kind == "tube")
        if filament.kind != "tube":
            draw_spheres(canvas, filament_spheres(filament, streams[1]))
    particles = objects.particles
    for centre, diameter, kind in zip(particles.centres_A, particles.diameters_A, particles.kinds, strict=True):
        spheres = particle_spheres(kind, diameter, centre, streams[1])
        draw_spheres(canvas, spheres, PARTICLE)
    if objects.lamella_surfaces is not None:
        draw_ice(canvas, objects.lamella_surfaces, spec.damage_A)
    if spec.carbon:
        draw_carbon(canvas, spec, streams[2])
    draw_crystals(canvas, spec, streams[3])
    draw_spheres(canvas, objects.fiducials, FIDUCIAL)


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
