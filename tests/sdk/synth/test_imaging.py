"""Imaging of densities: what the physics of microscope and reconstruction predicts is what comes out."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.synth.imaging import ImagingSpec, image, measured_region
from cryomamba.synth.imaging.processing import fourier_crop
from cryomamba.synth.imaging.tilt_series import Grid, project
from cryomamba.synth.imaging.transfer import contrast_transfer, wavelength_A

Volume = npt.NDArray[np.float32]
VOXEL = (10.0, 10.0, 10.0)
CLEAN: dict[str, Any] = {"noise": 0.0, "contrast": "bright"}


def imaged(density: Volume, voxel: tuple[float, float, float] = VOXEL, seed: int = 5, **settings: Any) -> Volume:
    return image(density, voxel, ImagingSpec(**{**CLEAN, **settings}), seed)


def random_density(shape: tuple[int, int, int] = (24, 40, 48)) -> Volume:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def angle_from_xy(shape: tuple[int, ...], across: Literal["x", "y"]) -> npt.NDArray[np.float64]:
    """Return the angle of every frequency above the plane of the grid, seen along the tilt axis, in degrees."""
    kz, ky, kx = np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij")
    return np.asarray(np.degrees(np.arctan2(np.abs(kz), np.abs(kx if across == "x" else ky))))


def energy(volume: Volume, where: npt.NDArray[np.bool_]) -> float:
    """Return the share of a volume's power that lies in some of its frequencies."""
    power = np.abs(np.fft.fftn(volume)) ** 2
    return float(power[where].sum() / power.sum())


def test_the_defaults_are_those_of_a_phantom() -> None:
    """A noise-free phantom that is imaged with the defaults is the phantom."""
    spec = PhantomSpec(shape=(24, 48, 48), seed=3, fiducials=0)
    clean = synthesize(spec.model_copy(update={"noise": 0.0, "max_tilt_deg": None, "contrast": "bright"}))
    made = image(clean.density, spec.voxel_size_A, ImagingSpec(), spec.seed)
    np.testing.assert_allclose(made, synthesize(spec).density, atol=1e-4)


def test_the_wavelength_is_that_of_the_tables() -> None:
    """Electrons of 100, 200 and 300 kV have 3.701, 2.508 and 1.969 pm."""
    assert [round(wavelength_A(kV) * 100, 3) for kV in (100, 200, 300)] == [3.701, 2.508, 1.969]


def zeros_of_the_transfer(defocus_A: float, count: int) -> npt.NDArray[np.float64]:
    """Solve π λ Δz k² − ½ π Cs λ³ k⁴ = n π − arcsin(0.07) for k, with the numbers of 300 kV and 2.7 mm."""
    wavelength, aberration = 0.019687, 2.7e7
    zeros = []
    for n in range(1, count + 1):
        target = n - np.arcsin(0.07) / np.pi
        roots = np.roots([-0.5 * aberration * wavelength**3, wavelength * defocus_A, -target])
        zeros.append(np.sqrt(min(root.real for root in roots if root.real > 0)))
    return np.array(zeros)


@pytest.mark.parametrize("defocus_um", [2.0, 4.0, 8.0])
def test_contrast_transfer_is_zero_where_theory_puts_it(defocus_um: float) -> None:
    """The sign changes at the zeros of the phase and nowhere between, and at low frequency it is the amplitude's."""
    spec = ImagingSpec(defocus_um=defocus_um, phase_flipped=False)
    zeros = zeros_of_the_transfer(defocus_um * 1e4, 4)
    edges = np.concatenate([[0.0], zeros])
    between = (0.5 * (edges[1:] + edges[:-1])) ** 2
    assert np.sign(contrast_transfer(between, spec)).tolist() == [1, -1, 1, -1]
    assert np.abs(contrast_transfer(zeros**2, spec)).max() < 0.01
    assert contrast_transfer(np.zeros(1), spec) == pytest.approx(0.07, abs=1e-6)


@pytest.mark.parametrize("reconstruction", ["fourier", "wbp"])
def test_a_defocused_image_lacks_the_frequencies_of_the_zeros(reconstruction: str) -> None:
    """Of the power of a random density, next to nothing is left near a zero; without a defocus it is."""
    density = random_density((48, 64, 64))
    k = np.sqrt(sum(f**2 for f in np.meshgrid(*(np.fft.fftfreq(n, 8.0) for n in density.shape), indexing="ij")))
    zero = zeros_of_the_transfer(40_000.0, 1)[0]
    flat = angle_from_xy(density.shape, "x") < 40
    near, beside = (flat & (np.abs(k / (zero * f) - 1) < 0.03) for f in (1.0, 0.75))
    settings: dict[str, Any] = {"voxel": (8.0, 8.0, 8.0), "reconstruction": reconstruction}
    with_it, without = imaged(density, defocus_um=4.0, **settings), imaged(density, **settings)
    assert energy(with_it, near) / energy(with_it, beside) < (0.06 if reconstruction == "fourier" else 0.15)
    assert energy(without, near) / energy(without, beside) > 0.5


def test_phase_flipping_makes_the_transfer_positive() -> None:
    """Flipped or not, amplitudes are the same; the flipped ones have the density's sign at every frequency."""
    density = random_density()
    of_density = np.fft.rfftn(density)
    plain, flipped = (
        np.fft.rfftn(imaged(density, defocus_um=3.0, phase_flipped=on, max_tilt_deg=None)) for on in (False, True)
    )
    away = np.abs(of_density) > 1
    away[0, 0, 0] = False
    np.testing.assert_allclose(np.abs(plain), np.abs(flipped), atol=0.2)
    assert ((flipped / of_density).real[away] > -1e-3).all()
    assert ((plain / of_density).real[away] < -0.1).any()


def test_a_membrane_keeps_its_contrast() -> None:
    """Whatever the defocus, the root mean square of a flat membrane is that without contrast transfer."""
    x = np.abs(np.arange(256) - 128)
    density = np.broadcast_to((np.exp(-0.5 * ((x - 1.55) / 0.8) ** 2)).astype(np.float32), (8, 8, 256))
    plain = imaged(density, max_tilt_deg=None).std()
    for defocus in (2.0, 8.0):
        assert imaged(density, defocus_um=defocus, max_tilt_deg=None).std() == pytest.approx(plain, rel=0.25)


@pytest.mark.parametrize("axis", ["y", "x"])
@pytest.mark.parametrize("reconstruction", ["fourier", "wbp", "sirt"])
def test_there_is_nothing_in_the_missing_wedge(axis: Literal["y", "x"], reconstruction: str) -> None:
    """A density of all frequencies loses those that are steeper than the largest tilt, and only those."""
    density = random_density((32, 40, 48))
    made = imaged(density, max_tilt_deg=50.0, tilt_axis=axis, reconstruction=reconstruction, sirt_iterations=5)
    angle = angle_from_xy(density.shape, "x" if axis == "y" else "y")
    leak = {"fourier": 1e-6, "wbp": 0.04, "sirt": 0.06}[reconstruction]
    assert energy(made, angle > 58) < leak < 0.25 < energy(density, angle > 58)
    other = angle_from_xy(density.shape, "y" if axis == "y" else "x")
    assert energy(made, (other > 58) & (angle < 50)) > 0.03


@pytest.mark.parametrize("reconstruction", ["fourier", "wbp"])
def test_two_axes_leave_a_missing_pyramid(reconstruction: str) -> None:
    """Only what is too steep for both series is lost."""
    density = random_density((32, 40, 40))
    made = imaged(density, dual_axis=True, max_tilt_deg=50.0, reconstruction=reconstruction)
    along, across = angle_from_xy(density.shape, "y"), angle_from_xy(density.shape, "x")
    assert energy(made, (along > 58) & (across > 58)) < (1e-6 if reconstruction == "fourier" else 0.04)
    assert energy(made, (along > 58) & (across < 45)) > 0.05
    assert energy(made, (along < 45) & (across > 58)) > 0.05


@pytest.mark.parametrize("voxel", [(10.0, 10.0, 10.0), (20.0, 12.0, 12.0)])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"noise_spectrum": "blue"},
        {"noise_spectrum": "red"},
        {"defocus_um": 5.0},
        {"reconstruction": "wbp"},
        {"reconstruction": "wbp", "tilt_axis": "x"},
        {"reconstruction": "wbp", "dual_axis": True},
    ],
)
def test_noise_has_the_promised_deviation(voxel: tuple[float, float, float], settings: dict[str, Any]) -> None:
    """An empty density has noise of `noise` in a voxel of 10 Å, by volume in others, but for the wedge's share."""
    nothing = np.zeros((40, 48, 48), np.float32)
    made = imaged(nothing, voxel, noise=1.5, **settings)
    angles = [angle_from_xy(nothing.shape, axis) for axis in ("x", "y")]
    sizes = np.array(voxel)
    steep = [np.degrees(np.arctan(np.tan(np.radians(a)) * sizes[1] / sizes[0])) > 60 for a in angles]
    lost = steep[0] & steep[1] if settings.get("dual_axis") else steep[1 if settings.get("tilt_axis") == "x" else 0]
    white = 1.5 * np.sqrt(1000 / sizes.prod())
    tolerance = 0.08 if settings.get("reconstruction") else 0.03
    if settings.get("noise_spectrum"):
        tolerance = 0.12
    assert made.std() == pytest.approx(white * np.sqrt(1 - lost.mean()), rel=tolerance)


def test_noise_has_the_promised_colour() -> None:
    """Blue noise has more power at high frequencies than at low ones, red noise less, white noise the same."""
    nothing = np.zeros((32, 48, 48), np.float32)
    k = np.sqrt(sum(f**2 for f in np.meshgrid(*(np.fft.fftfreq(n) for n in nothing.shape), indexing="ij")))
    flat = angle_from_xy(nothing.shape, "x") < 55
    low, high = flat & (k > 0.03) & (k < 0.12), flat & (k > 0.3) & (k < 0.45)

    def ratio(**settings: Any) -> float:
        power = np.abs(np.fft.fftn(imaged(nothing, noise=1.0, **settings))) ** 2
        return float(power[high].mean() / power[low].mean())

    assert ratio() == pytest.approx(1, abs=0.2)
    assert ratio(noise_spectrum="blue") > 2
    assert ratio(noise_spectrum="red") < 0.4
    assert ratio(reconstruction="wbp") > 1.5
    assert ratio(reconstruction="sirt", sirt_iterations=6) < ratio(reconstruction="wbp")


@pytest.mark.parametrize("angle", [0.0, 20.0, -47.0, 70.0])
def test_a_projection_of_a_ball_is_its_chord(angle: float) -> None:
    """At every tilt, a ray crosses a ball along 2 √(r² − s²), also where voxels are longer along z."""
    grid, radius = Grid(41, 80, 2.0), 30.0
    z, u = np.meshgrid(grid.z, grid.u, indexing="ij")
    square = z**2 + u**2
    ball = np.clip(radius + 0.5 - np.sqrt(square), 0, 1).astype(np.float32)[:, :, None]
    rays = project(ball, grid, np.radians(angle), 80)[:, 0]
    chord = 2 * np.sqrt(np.maximum(radius**2 - grid.u**2, 0))
    inside = np.abs(grid.u) < 0.9 * radius
    np.testing.assert_allclose(rays[inside], chord[inside], atol=1.4)
    assert np.abs(rays[np.abs(grid.u) > radius + 2]).max() < 0.5


@pytest.mark.parametrize("reconstruction", ["wbp", "sirt"])
@pytest.mark.parametrize("axis", ["y", "x"])
@pytest.mark.parametrize("voxel", [VOXEL, (15.0, 10.0, 10.0)])
def test_a_point_is_reconstructed_where_it_is(
    reconstruction: str, axis: Literal["y", "x"], voxel: tuple[float, float, float]
) -> None:
    """The reconstruction of a point, not in the middle, is largest at the point."""
    density = np.zeros((20, 30, 34), np.float32)
    density[13, 9, 21] = 100
    made = imaged(density, voxel, reconstruction=reconstruction, tilt_axis=axis)
    assert [int(index) for index in np.unravel_index(made.argmax(), made.shape)] == [13, 9, 21]


def test_back_projection_keeps_scale_and_phase_of_what_it_measures() -> None:
    """In the measured frequencies of a smooth density, the reconstruction's Fourier coefficients are the density's."""
    z, y, x = np.ogrid[-24:24, -32:32, -32:32]
    density = sum(
        np.exp(-((z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2) / 18) for a, b, c in ((-8, 9, 4), (6, -10, -12), (3, 2, 9))
    ).astype(np.float32)
    made = imaged(density, reconstruction="wbp", tilt_step_deg=1.5)
    k = np.sqrt(sum(f**2 for f in np.meshgrid(*(np.fft.fftfreq(n) for n in density.shape), indexing="ij")))
    seen = (angle_from_xy(density.shape, "x") < 50) & (k > 0.06) & (k < 0.15)
    before, after = np.fft.fftn(density)[seen], np.fft.fftn(made)[seen]
    scale = np.vdot(before, after) / np.vdot(before, before)
    assert scale.real == pytest.approx(1, abs=0.15)
    assert abs(np.vdot(before, after)) / (np.linalg.norm(before) * np.linalg.norm(after)) > 0.95


def test_gold_has_streaks_along_the_steepest_rays() -> None:
    """In the xz section of a bead, far from it, the rays of the largest tilt stand out; others cancel."""
    density = np.zeros((64, 16, 64), np.float32)
    z, y, x = np.ogrid[-32:32, -8:8, -32:32]
    density[z**2 + y**2 + x**2 < 9] = 12
    section = np.abs(imaged(density, reconstruction="wbp")[:, 8])
    radius, direction = np.hypot(z[:, 0], x[:, 0]), np.degrees(np.arctan2(np.abs(x[:, 0]), np.abs(z[:, 0])))
    ring = (radius > 12) & (radius < 26)
    assert section[ring & (np.abs(direction - 60) < 4)].mean() > 2 * section[ring & (direction < 45)].mean()


def test_fourier_cropping_keeps_low_frequencies_and_drops_high_ones() -> None:
    """A slow wave is sampled on the coarse grid as it is; one too fast for it leaves nothing, not even an alias."""
    z = np.arange(32, dtype=np.float32)[:, None, None]
    shape = (32, 24, 16)
    slow = np.broadcast_to(np.cos(2 * np.pi * z * 3 / 32 + 0.4), shape)
    fast = np.broadcast_to(np.cos(2 * np.pi * z * 13 / 32 + 0.4), shape)
    np.testing.assert_allclose(fourier_crop(np.asarray(slow + fast, np.float32), 2), slow[::2, ::2, ::2], atol=1e-5)
    made = imaged(random_density((32, 24, 16)), voxel=(5.0, 5.0, 5.0), crop=2, noise=1.0)
    assert made.shape == (16, 12, 8)


@pytest.mark.parametrize("kind", ["wiener", "median", "bilateral"])
def test_denoising_brings_a_volume_closer_to_the_clean_one(kind: str) -> None:
    """The mean squared error of a noisy smooth density falls to less than half."""
    z, y, x = np.ogrid[-16:16, -20:20, -24:24]
    density = (2 * np.exp(-(z**2 + y**2 + x**2) / 60)).astype(np.float32)
    clean = imaged(density, max_tilt_deg=None)
    noisy, denoised = (imaged(density, max_tilt_deg=None, noise=1.0, denoised=k) for k in (None, kind))
    assert ((denoised - clean) ** 2).mean() < 0.5 * ((noisy - clean) ** 2).mean()


def test_rounded_values_are_those_of_the_type() -> None:
    """Values after rounding are whole numbers of int8, or those that float16 can hold."""
    density = random_density()
    whole = imaged(density, rounded="int8", noise=1.0)
    assert whole.dtype == np.float32
    assert np.array_equal(whole, whole.astype(np.int8).astype(np.float32))
    half = imaged(density, rounded="float16", noise=1.0)
    assert np.array_equal(half, half.astype(np.float16).astype(np.float32))
    assert np.corrcoef(whole.ravel(), half.ravel())[0, 1] > 0.999


def test_padding_is_constant_and_all_else_is_as_without() -> None:
    """Margins and corners have one value; measured voxels do not change, and the region tells which they are."""
    density = random_density((24, 40, 40))
    settings: dict[str, Any] = {"padding": (0.25, 0.1, 0.0), "corners_deg": 20.0, "padding_value": 3.0, "noise": 1.0}
    made, plain = imaged(density, **settings), imaged(density, noise=1.0)
    inside = measured_region((24, 40, 40), ImagingSpec(**{**CLEAN, **settings}))
    assert np.unique(made[~inside]).size == 1
    assert made[~inside][0] == pytest.approx(plain.mean() + 3 * plain.std(), rel=1e-4)
    assert np.array_equal(made[inside], plain[inside])
    assert not inside[:3].any()
    assert not inside[-3:].any()
    assert not inside[:, :2].any()
    assert not inside[12, 3, 0]
    assert inside[12, 20, 20]
    assert measured_region((24, 40, 40), ImagingSpec()).all()


def test_a_slope_is_linear() -> None:
    """A slope adds as many deviations from end to end as it says, along its axis alone."""
    density = random_density()
    plain, sloped = imaged(density), imaged(density, slope=(0.0, 4.0, 0.0))
    added = (sloped - plain) / plain.std()
    np.testing.assert_allclose(added[3, :, 5], np.linspace(-2, 2, 40), atol=1e-4)
    np.testing.assert_allclose(added.std(axis=(0, 2)), 0, atol=1e-4)


@pytest.mark.parametrize("reconstruction", ["fourier", "wbp"])
def test_the_seed_decides_the_noise_and_nothing_else_changes(reconstruction: str) -> None:
    """The same arguments give the same tomogram, another seed other noise; the density is left as it was."""
    density = random_density((16, 24, 24))
    kept = density.copy()
    settings: dict[str, Any] = {"noise": 1.0, "reconstruction": reconstruction}
    first, again, other = imaged(density, **settings), imaged(density, **settings), imaged(density, seed=6, **settings)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(density, kept)
    assert first.dtype == np.float32
    np.testing.assert_allclose(imaged(density, contrast="dark", **settings), -first, atol=1e-6)


@pytest.mark.parametrize(
    "wrong", [{"reconstruction": "wbp", "max_tilt_deg": None}, {"max_tilt_deg": 90}, {"crop": 0}, {"defocus": 3}]
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    """A tilt series needs a tilt, and unknown names are no settings."""
    with pytest.raises(ValidationError):
        ImagingSpec(**wrong)
