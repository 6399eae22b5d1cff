"""Imaging: from a scene's density to a normalized tomogram."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from cryomamba_inference.volume_preparation.background import remove_gradients
from training.fields import Field, smooth_field

WAVELENGTH_A = 0.0197  # of electrons at 300 kV
SHELLS = 40  # of frequencies up to one half, in which a Wiener filter compares signal and noise
LIMIT = 6.0  # normalized densities are clipped to ± this


class Camera:
    """Fourier-space imaging of cubes of one side."""

    def __init__(self, side: int) -> None:
        self.side = side
        full, half = fft.fftfreq(side).astype(np.float32), fft.rfftfreq(side).astype(np.float32)
        self.kz, self.ky, self.kx = full[:, None, None], full[None, :, None], half[None, None, :]
        self.square = self.kz**2 + self.ky**2 + self.kx**2
        self.k = np.sqrt(self.square)
        self.shell = np.rint(self.k * np.float32(2 * SHELLS)).astype(np.int64).ravel()
        self.tilt_x = np.arctan2(np.abs(self.kz), np.abs(self.kx) + np.float32(1e-9))
        self.tilt_y = np.arctan2(np.abs(self.kz), np.abs(self.ky) + np.float32(1e-9))

    def image(
        self, rng: np.random.Generator, density: Field, step_A: float
    ) -> tuple[Field, npt.NDArray[np.bool_] | None]:
        """Return a normalized tomogram, dense matter positive and padding 0, and the padding, if any."""
        padding = self.padding(rng)
        spectrum = fft.rfftn(density)
        before = self.band_power(spectrum)
        transfer = self.transfer(rng, step_A) if rng.random() < 0.65 else np.float32(1)
        spectrum *= transfer
        if rng.random() < 0.6:
            spectrum *= np.exp(-self.square / np.float32(2 * rng.uniform(0.25, 0.7) ** 2))
        # Noise is relative to the contrast in the image.
        spectrum *= np.float32(min(np.sqrt(before / max(self.band_power(spectrum), 1e-9)), 8.0))
        low, high = (0.15, 1.1) if rng.random() < 0.5 else (1.1, 2.3)
        level = np.exp(rng.uniform(np.log(low), np.log(high)))
        level *= (12.0 / step_A) ** 1.5
        noise = fft.rfftn(rng.standard_normal(density.shape, np.float32)) * np.float32(level)
        spectrum += noise * (self.noise_shape(rng) if rng.random() < 0.85 else 0.2 + 0.8 * np.abs(transfer))
        if padding is not None and rng.random() < 0.7:
            spectrum = self.cut(rng, spectrum, padding)
        wedge = self.wedge(rng)
        if wedge is not None:
            spectrum *= wedge
        filters = self.filters(rng)
        if filters is not None:
            spectrum *= filters
        kind = rng.random()
        if kind < 0.1:
            spectrum *= self.wiener(rng, spectrum)
        elif kind < 0.22:
            spectrum *= self.deconvolution(rng, transfer, step_A)
        image = np.asarray(fft.irfftn(spectrum, density.shape), np.float32)
        if rng.random() < 0.07:
            image = ndimage.median_filter(image, 3)
        return self.finish(rng, image, padding), padding

    def padding(self, rng: np.random.Generator) -> npt.NDArray[np.bool_] | None:
        """Return the nodes on some sides that are not measured, or None."""
        if rng.random() > 0.2:
            return None
        padding = np.zeros((self.side,) * 3, bool)
        for axis in rng.choice(3, rng.integers(1, 3), replace=False):
            width = int(rng.uniform(0.15, 0.45) * self.side)
            part = [slice(None)] * 3
            part[axis] = slice(0, width) if rng.random() < 0.5 else slice(self.side - width, None)
            padding[tuple(part)] = True
        return padding

    def cut(
        self, rng: np.random.Generator, spectrum: npt.NDArray[np.complexfloating], padding: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.complexfloating]:
        """Return the spectrum with a step at the borders, as in reconstructions; filters turn it into lines."""
        image = np.asarray(fft.irfftn(spectrum, padding.shape), np.float32)
        image += np.float32(rng.normal(0, 1.5) * image.std())
        image[padding] = 0
        return np.asarray(fft.rfftn(image), np.complex64)

    def band_power(self, spectrum: npt.NDArray[np.complexfloating]) -> float:
        """Return the power at the frequencies that membranes have."""
        part = spectrum[(self.k > 0.06) & (self.k < 0.25)]
        return float(np.vdot(part, part).real)

    def transfer(self, rng: np.random.Generator, step_A: float) -> Field:
        """Return a contrast transfer function, its low frequencies raised a little."""
        flipped = rng.random() < 0.5
        # Beyond 5 µm, without phase flipping, membranes themselves would change their contrast.
        defocus = np.exp(rng.uniform(np.log(1.5e4), np.log(8e4 if flipped else 5e4)))
        chi = np.float32(np.pi * WAVELENGTH_A * defocus / step_A**2) * self.square
        curve = np.sin(chi + np.float32(rng.uniform(0.05, 0.12)))
        if flipped:
            curve = np.abs(curve)
        floor = rng.uniform(0, 0.35)
        return np.asarray(curve * np.float32(1 - floor) + np.float32(floor), np.float32)

    def wiener(self, rng: np.random.Generator, spectrum: npt.NDArray[np.complexfloating]) -> Field:
        """Return a Wiener filter: of each shell of frequencies the share of its power that is above the noise."""
        power = np.bincount(self.shell, np.abs(spectrum.ravel()) ** 2) / np.bincount(self.shell)
        noise = rng.uniform(0.6, 1.05) * np.median(power[int(rng.uniform(0.7, 0.9) * SHELLS) : SHELLS + 1])
        weight = np.clip(1 - noise / np.maximum(power, 1e-12), rng.uniform(0, 0.1), 1).astype(np.float32)
        return np.asarray(weight[self.shell].reshape(self.k.shape), np.float32)

    def deconvolution(self, rng: np.random.Generator, transfer: Field | np.float32, step_A: float) -> Field:
        """Return a Wiener filter that undoes the contrast transfer, for an assumed fall of signal with frequency.

        As Tegunov and Cramer do (Nature Methods 2019, Warp): the signal-to-noise ratio is an exponential function of
        the frequency, and low frequencies are taken out.
        """
        ratio = np.exp(-self.k * np.float32(rng.uniform(80, 240) / step_A)) * np.float32(10 ** rng.uniform(1.2, 3.4))
        ratio *= 1 - np.exp(-self.square / np.float32(2 * rng.uniform(0.004, 0.03) ** 2))
        return np.asarray(transfer / (transfer * transfer + 1 / np.maximum(ratio, np.float32(1e-6))), np.float32)

    def noise_shape(self, rng: np.random.Generator) -> Field | np.float32:
        """Return the amplitude of the noise by frequency, about 1 where membranes are."""
        kind = rng.random()
        if kind < 0.45:
            return np.float32(1)
        if kind < 0.7:  # as weighted back-projection leaves it
            ramp = np.sqrt(self.kx**2 + self.kz**2 + np.float32(1e-4))
            return np.sqrt(ramp / ramp.mean())
        return 1 / (1 + (self.k / np.float32(rng.uniform(0.1, 0.4))) ** 2)

    def wedge(self, rng: np.random.Generator) -> npt.NDArray[np.bool_] | None:
        """Return the frequencies that the tilt series has measured, or None for all."""
        kind = rng.random()
        if kind < 0.04:
            return None
        limit = np.float32(np.deg2rad(rng.uniform(40, 72)))
        if kind < 0.10:
            return (self.tilt_x <= limit) | (self.tilt_y <= limit)
        measured = self.tilt_x <= limit
        return measured & self.slices(rng) if kind < 0.35 else measured

    def slices(self, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        """Return the frequencies that single projections have measured, of a specimen as thick as most of the box."""
        increment = np.float32(np.deg2rad(rng.uniform(1.0, 3.2)))
        off = np.abs((self.tilt_x / increment + np.float32(0.5)) % 1 - np.float32(0.5)) * increment
        radius = np.hypot(self.kz, self.kx)
        return radius * np.sin(off) < np.float32(0.5 / (rng.uniform(0.4, 1.0) * self.side))

    def filters(self, rng: np.random.Generator) -> Field | None:
        """Return the frequency response of the processing, or None."""
        result = None
        if rng.random() < 0.5:
            result = (self.k < rng.uniform(0.25, 0.5)).astype(np.float32)
        if rng.random() < 0.4:
            low = np.exp(-self.square / np.float32(2 * rng.uniform(0.12, 0.5) ** 2))
            result = low if result is None else result * low
        kind = rng.random()
        if kind < 0.06:  # as a Wiener filter weights frequencies
            low = 1 / (1 + (self.k / np.float32(rng.uniform(0.12, 0.4))) ** 2)
            result = low if result is None else result * low
        elif kind < 0.24:  # as iterative reconstruction does: each round finds the more of the rest the lower it is
            share = np.float32(rng.uniform(0.008, 0.04)) / np.maximum(np.hypot(self.kz, self.kx), np.float32(1e-4))
            low = 1 - (1 - np.minimum(share, 1)) ** np.float32(rng.uniform(4, 30))
            result = low if result is None else result * low
        if rng.random() < 0.3:
            high = 1 - np.exp(-self.square / np.float32(2 * rng.uniform(0.002, 0.012) ** 2))
            result = high if result is None else result * high
        return result

    def finish(self, rng: np.random.Generator, image: Field, padding: npt.NDArray[np.bool_] | None) -> Field:
        """Return the image with slopes, rounding and padding, normalized."""
        if rng.random() < 0.25:
            a, b, c = rng.uniform(-4, 4, 3) * image.std() / self.side
            axis = np.arange(self.side, dtype=np.float32)
            image = image + np.float32(a) * axis[:, None, None] + np.float32(b) * axis[:, None] + np.float32(c) * axis
        if rng.random() < 0.1:
            image = image + smooth_field(rng, self.side, self.side / 5) * np.float32(rng.uniform(0, 0.6) * image.std())
        remove_gradients(image, np.zeros(image.shape, np.bool_) if padding is None else padding)
        seen = image if padding is None else image[~padding]
        middle = np.median(seen[::3])
        spread = 1.4826 * np.median(np.abs(seen[::3] - middle)) * np.exp(rng.normal(0, 0.15))
        image = (image - middle) / max(spread, 1e-6) + np.float32(rng.normal(0, 0.1))
        if rng.random() < 0.1:
            grain = rng.uniform(0.02, 0.3)
            image = np.round(image / grain) * grain
        if padding is not None:
            image[padding] = 0
        return np.clip(image, -LIMIT, LIMIT).astype(np.float32)
