"""The oriented plate bank: how much like a dark or bright plate the surroundings of a node are.

Each kernel is the second derivative of a Gaussian across the plate and a Gaussian in it, applied in Fourier space;
the strongest of all directions counts (matched filtering with a rotating template, as in steerable-filter ridge
detection: Freeman and Adelson, IEEE PAMI 1991).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

Field = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complex64]
Borders = tuple[tuple[bool, bool], tuple[bool, bool], tuple[bool, bool]]
_ALL_BORDERS: Borders = ((True, True), (True, True), (True, True))


@dataclass(frozen=True, slots=True)
class PlateBank:
    """Kernels of one size in many directions.

    Attributes
    ----------
    step_A : float
        Distance of the nodes in Å.
    across_A, in_plane_A : float
        Deviations of the Gaussians in Å.
    normals : array of shape (n, 3), float32
        Unit normals of the plates, z, y, x.
    gains : array of shape (n,), float32
        What each direction's response is multiplied with.
    """

    step_A: float
    across_A: float
    in_plane_A: float
    normals: Field
    gains: Field

    @property
    def reach(self) -> int:
        """Nodes beyond which a kernel has nothing to say."""
        return int(np.ceil(4.5 * max(self.in_plane_A, self.across_A) / self.step_A))

    def strongest(self, field: Field, borders: Borders = _ALL_BORDERS) -> tuple[Field, npt.NDArray[np.uint8]]:
        """Return the strongest response of each node and which direction gave it, both of the field's shape.

        Parameters
        ----------
        field : array of shape (z, y, x), float32
        borders : three pairs of bool
            Which sides, first and last along each axis, are borders of the volume: there the field is continued by
            reflection. At other sides the outer `reach` nodes of the result are not to be used.
        """
        spectrum, padded, inner = self._spectrum(field, borders)
        best = np.full(field.shape, -np.inf, np.float32)
        direction = np.zeros(field.shape, np.uint8)
        waves = _Waves(padded, self.step_A)
        for index, (normal, gain) in enumerate(zip(self.normals, self.gains, strict=True)):
            kernel = waves.plate(normal, self.across_A, self.in_plane_A)
            kernel *= gain
            response = scipy.fft.irfftn(spectrum * kernel, padded)[inner]
            better = response > best
            np.copyto(best, response, where=better)
            direction[better] = index
        return best, direction

    def _spectrum(self, field: Field, borders: Borders) -> tuple[Spectrum, tuple[int, ...], tuple[slice, ...]]:
        before = [self.reach if first else 0 for first, _ in borders]
        after = [self.reach if last else 0 for _, last in borders]
        needed = [n + a + b for n, a, b in zip(field.shape, before, after, strict=True)]
        padded = tuple(scipy.fft.next_fast_len(n, real=True) for n in needed)
        pads = [(b, size - n - b) for n, size, b in zip(field.shape, padded, before, strict=True)]
        inner = tuple(slice(b, b + n) for n, b in zip(field.shape, before, strict=True))
        spectrum = np.asarray(scipy.fft.rfftn(np.pad(field, pads, mode="symmetric")), np.complex64)
        return spectrum, padded, inner


class _Waves:
    """Wave numbers of a padded field in radians per Å, in the layout of ``rfftn``."""

    def __init__(self, shape: tuple[int, ...], step_A: float) -> None:
        last = len(shape) - 1
        axes = [(scipy.fft.rfftfreq if a == last else scipy.fft.fftfreq)(n, step_A) for a, n in enumerate(shape)]
        # The kernels end smoothly before the highest frequency, so that they are short in space.
        tapers = [np.cos(np.pi * np.clip(2 * np.abs(f) * step_A - 0.6, 0, 0.4) / 0.8) ** 2 for f in axes]
        self.z, self.y, self.x = (
            (2 * np.pi * f).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
            for axis, f in enumerate(axes)
        )
        z, y, x = (t.astype(np.float32).reshape([-1 if a == i else 1 for a in range(3)]) for i, t in enumerate(tapers))
        self.square = self.z**2 + self.y**2 + self.x**2
        self.taper = z * y * x

    def plate(self, normal: Field, across_A: float, in_plane_A: float) -> Field:
        """Return the transfer function of a plate; scaled so that white noise of deviation 1 gives about 1."""
        along = self.z * normal[0] + self.y * normal[1] + self.x * normal[2]
        along *= along
        kernel = along * np.float32(in_plane_A**2 - across_A**2)
        kernel -= self.square * np.float32(in_plane_A**2)
        kernel *= np.float32(0.5)
        np.exp(kernel, out=kernel)
        kernel *= along
        kernel *= self.taper
        return np.asarray(kernel * np.float32(across_A**2), np.float32)
