"""Phantoms: density and labels from a specification."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryomamba.errors import InvalidRequestError
from cryomamba.synth.imaging import image, measured_region
from cryomamba.synth.labels import draw_labels
from cryomamba.synth.macromolecules import filament_spheres, particle_spheres
from cryomamba.synth.objects import Membrane
from cryomamba.synth.placement import PhantomGeometry, place_objects
from cryomamba.synth.render import Canvas, Hidden, draw_filament, draw_membrane, draw_spheres
from cryomamba.synth.spec import FIDUCIAL, PARTICLE, FilamentKind, ParticleKind, PhantomSpec
from cryomamba.synth.surroundings import draw_carbon, draw_correlated_background, draw_crystals, draw_ice
from cryomamba.synth.wedge import in_missing_wedge


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


def synthesize(spec: PhantomSpec, labels: NDArray[Any] | None = None) -> Phantom:
    """Return the phantom of a specification, or one whose membranes are where `labels` are.

    Positions are drawn in Å, so the same seed and physical size give the same objects at any voxel size.
    Memory is about 6 bytes per voxel for the result plus a few hundred MB; 512³ takes about half a minute.

    Parameters
    ----------
    spec : PhantomSpec
    labels : array of shape `spec.shape`, optional
        Membrane density is drawn along the medial surface of all voxels that are not 0, and these voxels are the ground
        truth, in place of the geometry of `spec`. With ``lamella=1`` nothing of it is cut off.

    Returns
    -------
    Phantom
        Density and labels, both ZYX.

    Raises
    ------
    InvalidRequestError
        The labels do not have the shape of `spec`.
    """
    phantom = clean_phantom(spec, labels)
    density, size = phantom.density, spec.voxel_size_A
    if spec.crop > 1:
        fine = _on_finer_grid(spec)
        given = None if labels is None else _enlarged(labels, spec.crop)
        density, size = clean_phantom(fine, given).density, fine.voxel_size_A
    density = image(density, size, spec, spec.seed)
    if any(spec.padding) or spec.corners_deg:
        unmeasured = ~measured_region(spec.shape, spec)
        phantom.ground_truth[unmeasured] = 0
        phantom.membrane_in_wedge[unmeasured] = False
    return replace(phantom, density=density)


def _on_finer_grid(spec: PhantomSpec) -> PhantomSpec:
    """Return the specification of the same phantom before Fourier cropping."""
    shape = tuple(n * spec.crop for n in spec.shape)
    return spec.model_copy(update={"shape": shape, "voxel_size_A": tuple(s / spec.crop for s in spec.voxel_size_A)})


def _enlarged(labels: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return labels on a grid that is finer by `factor`; the centres of the first voxels coincide."""
    nearest = [np.minimum(np.rint(np.arange(n * factor) / factor), n - 1).astype(int) for n in labels.shape]
    return labels[np.ix_(*nearest)]


def clean_phantom(spec: PhantomSpec, labels: NDArray[Any] | None = None) -> Phantom:
    """Return the phantom of `synthesize` before imaging: matter is positive, a leaflet about 1 at 10 Å."""
    canvas = Canvas.empty(spec.shape, spec.voxel_size_A)
    hidden = partial(in_missing_wedge, max_tilt_deg=spec.max_tilt_deg, tilt_axes=spec.tilt_axes)
    if labels is None:
        objects = place_objects(spec)
        for membrane in objects.membranes:
            draw_membrane(canvas, membrane, spec.profile, hidden)
    else:
        objects = place_objects(spec, _draw_given(canvas, labels, spec, hidden))
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


def _draw_given(canvas: Canvas, labels: NDArray[Any], spec: PhantomSpec, hidden: Hidden) -> list[Membrane]:
    if labels.shape != spec.shape:
        raise InvalidRequestError(
            f"The labels have {_times(labels.shape)} voxels and the phantom has {_times(spec.shape)}.",
            hint="Give the phantom the shape and the voxel size of the labels.",
        )
    thickness = np.random.default_rng([spec.seed, 3]).uniform(*spec.thickness_A)
    return draw_labels(canvas, labels != 0, thickness, spec.profile, hidden)


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


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
