from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from cryomamba.synth import LABELS, MaskScore, PhantomSpec, score_mask, score_thresholds, synthesize
from cryomamba.synth.imaging import measured_region
from cryomamba.synth.placement import place_objects
from cryomamba.synth.surfaces import Sheet, Vesicle, distance
from cryomamba.synth.wedge import apply_wedge

SMALL = PhantomSpec(shape=(48, 96, 96), noise=1.0)


def test_same_recipe_gives_the_same_arrays_and_another_seed_does_not() -> None:
    """A phantom depends on its specification only."""
    first, again = synthesize(SMALL), synthesize(SMALL)
    other = synthesize(SMALL.model_copy(update={"seed": 1}))
    assert np.array_equal(first.density, again.density)
    assert np.array_equal(first.ground_truth, again.ground_truth)
    assert not np.array_equal(first.ground_truth, other.ground_truth)


def test_arrays_have_the_promised_shape_and_dtype() -> None:
    """Density is float32 and labels are uint8, both ZYX in the requested shape, with known labels only."""
    phantom = synthesize(SMALL)
    assert phantom.density.shape == phantom.ground_truth.shape == SMALL.shape
    assert phantom.density.dtype == np.float32
    assert phantom.ground_truth.dtype == np.uint8
    assert set(np.unique(phantom.ground_truth)) <= set(LABELS)
    assert np.isfinite(phantom.density).all()


def test_distance_from_a_sphere_is_exact() -> None:
    """The distance to a surface agrees with the formula where there is one."""
    sphere = Vesicle(
        np.array([10, 20, 30], np.float32),
        np.eye(3, dtype=np.float32) / np.float32(300**2),
        np.zeros((1, 3), np.float32),
        np.zeros(1, np.float32),
    )
    points = np.random.default_rng(0).uniform(-400, 400, (5000, 3)).astype(np.float32)
    expected = np.linalg.norm(points - sphere.centre, axis=1) - 300
    near = np.abs(expected) < 60
    found, normal = distance(sphere, points[near])
    assert np.abs(found - expected[near]).max() < 0.01
    assert np.allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-5)


def test_distance_from_a_deformed_vesicle_leads_back_to_it() -> None:
    """A step of the distance along the normal ends on the surface, also for bumpy shapes."""
    vesicle = next(m.surface for m in place_objects(SMALL).membranes if isinstance(m.surface, Vesicle))
    rng = np.random.default_rng(1)
    direction = rng.standard_normal((2000, 3)).astype(np.float32)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radii = vesicle.radius(direction) + rng.uniform(-24, 24, 2000).astype(np.float32)
    points = vesicle.centre + direction * radii[:, None]
    away, normal = distance(vesicle, points)
    value, gradient = vesicle.implicit(points - normal * away[:, None])
    assert np.abs(value / np.linalg.norm(gradient, axis=1)).max() < 0.3


@pytest.mark.parametrize("voxel", [8.0, 16.0])
def test_scene_does_not_depend_on_the_voxel_size(voxel: float) -> None:
    """The fraction of membrane and its position in Å are the same at any voxel size."""
    extent = 768.0
    spec = PhantomSpec(shape=(int(extent / voxel),) * 3, voxel_size_A=voxel, noise=0)
    reference = PhantomSpec(shape=(64, 64, 64), voxel_size_A=12.0, noise=0)
    ours, theirs = (place_objects(s).membranes[0].surface for s in (spec, reference))
    assert isinstance(ours, Sheet)
    assert isinstance(theirs, Sheet)
    assert np.array_equal(ours.origin, theirs.origin)
    shares = [(synthesize(s).ground_truth == 1).mean() for s in (spec, reference)]
    assert shares[0] == pytest.approx(shares[1], rel=0.08)


def test_truth_has_the_thickness_of_the_membrane() -> None:
    """Membrane volume divided by area gives the specified thickness."""
    spec = PhantomSpec(
        shape=(64, 64, 64),
        noise=0,
        vesicles=0,
        sheets=1,
        fiducials=0,
        lamella=1,
        thickness_A=(45, 45),
        max_tilt_deg=None,
    )
    truth = synthesize(spec).ground_truth
    sheet = place_objects(spec).membranes[0].surface
    assert isinstance(sheet, Sheet)
    along = int(np.argmax(np.abs(sheet.normal)))
    columns = (truth == 1).sum(axis=along)
    grid = np.stack(np.meshgrid(*[np.arange(64) * 10.0] * 3, indexing="ij"), -1).reshape(-1, 3)
    _, gradient = sheet.implicit(grid.astype(np.float32))
    slope = np.abs(gradient[:, along] / np.linalg.norm(gradient, axis=1)).mean()
    assert np.median(columns[columns > 0]) * 10 * slope == pytest.approx(45, abs=8)


def test_wedge_takes_away_what_a_tilt_series_does_not_measure() -> None:
    """Frequencies in the missing wedge are zero, all others unchanged."""
    rng = np.random.default_rng(2)
    volume = rng.standard_normal((24, 20, 32)).astype(np.float32)
    before = np.fft.fftn(volume)
    apply_wedge(volume, (10.0, 10.0, 10.0), 60.0)
    after = np.fft.fftn(volume)
    kz, _, kx = np.meshgrid(*(np.fft.fftfreq(n) for n in volume.shape), indexing="ij")
    missing = np.abs(kz) > np.abs(kx) * np.tan(np.radians(60)) + 1e-9
    interior = np.abs(kx) < 0.49
    assert np.abs(after[missing & interior]).max() < 1e-3
    assert np.allclose(after[~missing & interior], before[~missing & interior], atol=1e-3)


def test_contrast_only_flips_the_sign() -> None:
    """Dark and bright phantoms are negatives of each other."""
    bright = synthesize(SMALL.model_copy(update={"contrast": "bright"}))
    assert np.array_equal(bright.density, -synthesize(SMALL).density)


def test_membranes_are_dark_in_a_dark_phantom() -> None:
    """By default matter is darker than the background."""
    phantom = synthesize(PhantomSpec(shape=(48, 96, 96), noise=0, max_tilt_deg=None, fiducials=0, lamella=1))
    assert phantom.density[phantom.ground_truth == 1].mean() < phantom.density[phantom.ground_truth == 0].mean()


def test_particles_and_filaments_are_labelled_where_they_are_said_to_be() -> None:
    """Every listed centre is in a voxel with its label."""
    spec = PhantomSpec(shape=(64, 128, 128), particles=8, filaments=1, noise=0, vesicles=2, fiducials=0)
    phantom = synthesize(spec)
    assert len(phantom.particles_A) == 8
    centres = np.rint(phantom.particles_A / 10).astype(int)
    assert (phantom.ground_truth[tuple(centres.T)] == 2).all()
    assert (phantom.ground_truth == 3).sum() > 1000


def small(**settings: Any) -> PhantomSpec:
    return PhantomSpec(shape=(24, 40, 40), voxel_size_A=16.0, seed=2, noise=0.0, max_tilt_deg=None, **settings)


def test_a_cropped_phantom_has_the_same_content_on_the_same_grid() -> None:
    """Imaged on a grid twice as fine and cropped in Fourier space, a phantom keeps labels, positions and structures."""
    plain, cropped = synthesize(small()), synthesize(small(crop=2))
    assert cropped.density.shape == plain.density.shape
    assert cropped.voxel_size_A == plain.voxel_size_A
    np.testing.assert_array_equal(cropped.ground_truth, plain.ground_truth)
    np.testing.assert_array_equal(cropped.particles_A, plain.particles_A)
    assert not np.array_equal(cropped.density, plain.density)
    shifted = [np.roll(cropped.density, shift, axis=2).ravel() for shift in (-1, 0, 1)]
    left, here, right = (np.corrcoef(one, plain.density.ravel())[0, 1] for one in shifted)
    assert here > max(left, right) + 0.05
    assert left == pytest.approx(right, abs=0.03)


def test_given_labels_are_cropped_too() -> None:
    """With labels of a person, the membrane is where these are, also when it was imaged on the finer grid."""
    labels = np.zeros((24, 40, 40), np.uint8)
    labels[11:14, 5:35, 5:35] = 1
    bare = {"crowding": 0.0, "particles": 0, "fiducials": 0, "lamella": 1.0}
    phantom = synthesize(small(crop=2, **bare), labels)
    np.testing.assert_array_equal(phantom.ground_truth == 1, labels == 1)
    planes = -phantom.density[:, 10:30, 10:30].mean(axis=(1, 2))
    assert planes[11:14].min() > 3 * np.abs(planes[[8, 16]]).max()


def test_padding_has_no_labels_and_changes_nothing_else() -> None:
    """What padding covers is constant and not in the ground truth; the rest is as without it."""
    plain, padded = synthesize(small()), synthesize(small(padding=(0.2, 0.0, 0.1), corners_deg=15.0, padding_value=2.0))
    measured = measured_region((24, 40, 40), padded.spec)
    assert 0.3 < measured.mean() < 0.9
    assert not padded.ground_truth[~measured].any()
    assert not padded.membrane_in_wedge[~measured].any()
    assert np.unique(padded.density[~measured]).size == 1
    np.testing.assert_array_equal(padded.ground_truth[measured], plain.ground_truth[measured])
    np.testing.assert_array_equal(padded.density[measured], plain.density[measured])
    assert plain.ground_truth[~measured].any()


def test_score_counts_what_it_says() -> None:
    """Precision and recall of masks whose answer is known by hand."""
    truth = np.zeros((9, 9, 9), np.uint8)
    truth[4] = 1
    assert score_mask(truth, truth).f1 == 1
    assert score_mask(np.roll(truth, 1, axis=0), truth).f1 == 1
    assert score_mask(np.roll(truth, 2, axis=0), truth).f1 == 0
    half = truth.copy()
    half[:, 5:] = 0
    assert score_mask(half, truth).recall == pytest.approx(6 / 9)
    assert score_mask(np.zeros_like(truth), truth).f1 == 0


def test_score_counts_membranes_in_the_missing_wedge() -> None:
    """Membrane in the missing wedge counts like any other: as missed without it, as found with it."""
    truth = np.zeros((9, 9, 10), np.uint8)
    truth[4] = 1
    half = truth == 1
    half[:, :, 5:] = False
    score = score_mask(half, truth)
    assert (score.precision, score.recall) == (1.0, 0.6)
    assert score.f1 == pytest.approx(0.75)
    assert score_mask(truth > 0, truth) == MaskScore(1.0, 1.0, 1.0)
    assert score_thresholds(half.astype(np.uint8), truth)[1] == score_mask(half, truth)


def test_score_can_ignore_a_part_of_the_ground_truth() -> None:
    """Ignored membrane counts neither as missed nor, if it was found, as wrong; all else counts as before."""
    truth = np.zeros((9, 9, 10), np.uint8)
    truth[4] = 1
    unseen = np.zeros(truth.shape, np.bool_)
    unseen[:, :, 5:] = True
    half = (truth == 1) & ~unseen
    assert score_mask(half, truth, ignore=unseen).f1 == 1
    assert score_mask(truth, truth, ignore=unseen).f1 == 1
    wrong = half.copy()
    wrong[0, :, 5:] = True
    assert score_mask(wrong, truth, ignore=unseen).precision == pytest.approx(0.5)
    assert score_mask(truth == 9, truth, ignore=unseen).recall == 0


@pytest.mark.parametrize("wrong", [{"shape": (4, 9, 9)}, {"thickness_A": (50, 40)}, {"max_tilt_deg": 90}])
def test_impossible_recipes_are_refused(wrong: dict[str, Any]) -> None:
    """An invalid specification is refused before any array is allocated."""
    with pytest.raises(ValidationError):
        PhantomSpec(**wrong)
