"""Density profiles along the normal, which locate the centre of a membrane between its leaflets.

The plate filters work at about 27 Å and locate a membrane to about 6 Å. A profile is sampled on a finer grid and
averaged over a patch of the surface. The typical profile of a volume's membranes (two leaflets or one ridge, with or
without fringes) is learned from the volume itself: the symmetrized mean of the profiles, iteratively aligned as in
subtomogram averaging. Profiles are cross-correlated with it together with their neighbours', so that the surface stays
smooth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Positions = npt.NDArray[np.float64]

_SAMPLE_A = 4.5  # distance between samples of a profile in Å
_HALF_SAMPLES = 10  # samples of a profile on either side of a surface
_MAX_SHIFT = 4  # maximum shift of a surface in samples
_PATCH_A, _PATCH_STEP_A = 42.0, 18.0  # radius of a patch, and distance between its points, in Å
_PATCH_DECAY = 0.7  # loss of weight from the centre of a patch to its rim
_SHIFTS_A = np.arange(-_MAX_SHIFT, _MAX_SHIFT + 1, dtype=np.float32) * np.float32(_SAMPLE_A)
_NEIGHBOURS_A = 30.0  # standard deviation in Å of the weights of neighbours
NEIGHBOUR_REACH = 2  # nodes around a ridge point whose correlations are averaged with its own
_BACKGROUND_A = 26.0  # standard deviation in Å of a membrane blurred beyond recognition
_BACKGROUND = np.exp(-0.5 * (np.arange(-_HALF_SAMPLES, _HALF_SAMPLES + 1) * _SAMPLE_A / _BACKGROUND_A) ** 2)
_ITERATIONS = 2  # of the alignment
_MIN_PROFILES = 100
_MIN_CONTRAST = 0.1  # of the part that a blurred membrane does not explain, relative to the whole profile

_SHIFT_PENALTY = 0.003  # per Å², relative to the variance of the correlations
_REFERENCE_SHARE = 0.5  # correlation of typical membranes, relative to that of the strongest
# A neighbour is on the same surface if its normal has this cosine, and it is not too far above the tangent plane.
_MIN_ALIGNMENT = np.float32(0.8)
_MAX_SLOPE, _SLOPE_SLACK = np.float32(0.25), np.float32(0.1)


def _patch() -> Field:
    """Return the points (n, 3) of a patch: two coordinates in the plane in Å, and a weight."""
    count = int(_PATCH_A / _PATCH_STEP_A)
    axis = np.arange(-count, count + 1) * _PATCH_STEP_A
    plane = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    r2 = (plane**2).sum(axis=1) / _PATCH_A**2
    weights = 1 - _PATCH_DECAY * r2[r2 <= 1]
    return np.column_stack([plane[r2 <= 1], weights / weights.sum()]).astype(np.float32)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _sample(density, positions, normals, curvature, scale, patch, profiles):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    limits = (density.shape[0] - 1, density.shape[1] - 1, density.shape[2] - 1)
    for n in range(len(positions)):
        n0, n1, n2 = normals[n]
        # Two unit vectors in the plane.
        if abs(n0) < 0.8:
            t0, t1, t2 = 1 - n0 * n0, -n0 * n1, -n0 * n2
        else:
            t0, t1, t2 = -n1 * n0, 1 - n1 * n1, -n1 * n2
        length = np.sqrt(t0 * t0 + t1 * t1 + t2 * t2)
        t0, t1, t2 = t0 / length, t1 / length, t2 / length
        u0, u1, u2 = n1 * t2 - n2 * t1, n2 * t0 - n0 * t2, n0 * t1 - n1 * t0
        profiles[n] = 0
        for p in range(len(patch)):
            x, y, weight = patch[p]
            height = 0.5 * curvature[n] * (x * x + y * y) - _HALF_SAMPLES * _SAMPLE_A
            z = positions[n, 0] + (x * t0 + y * u0 + height * n0) * scale
            v = positions[n, 1] + (x * t1 + y * u1 + height * n1) * scale
            w = positions[n, 2] + (x * t2 + y * u2 + height * n2) * scale
            for k in range(2 * _HALF_SAMPLES + 1):
                a, b, c = min(max(z, 0.0), limits[0]), min(max(v, 0.0), limits[1]), min(max(w, 0.0), limits[2])
                i, j, q = int(a), int(b), int(c)
                ii, jj, qq = min(i + 1, limits[0]), min(j + 1, limits[1]), min(q + 1, limits[2])
                f, g, h = np.float32(a - i), np.float32(b - j), np.float32(c - q)
                low = density[i, j, q] + h * (density[i, j, qq] - density[i, j, q])
                high = density[i, jj, q] + h * (density[i, jj, qq] - density[i, jj, q])
                front = low + g * (high - low)
                low = density[ii, j, q] + h * (density[ii, j, qq] - density[ii, j, q])
                high = density[ii, jj, q] + h * (density[ii, jj, qq] - density[ii, jj, q])
                profiles[n, k] += weight * (front + f * (low + g * (high - low) - front))
                z += _SAMPLE_A * scale * n0
                v += _SAMPLE_A * scale * n1
                w += _SAMPLE_A * scale * n2


def sample_profiles(density: Field, positions: Positions, normals: Field, curvature: Field, *, step_A: float) -> Field:
    """Return the density profiles (n, samples) along the normals of patches of a surface.

    Parameters
    ----------
    density : array of shape (z, y, x), float32
        On nodes of the whole volume; may be a memory map.
    positions : array of shape (n, 3), float64
        Centres of the patches, in nodes of `density`, which is extrapolated by its border values.
    normals : array of shape (n, 3), float32
    curvature : array of shape (n,), float32
        In 1 / Å; positive if the surface curves towards the normal.
    step_A : float
        Distance between the nodes of `density` in Å.
    """
    profiles = np.empty((len(positions), 2 * _HALF_SAMPLES + 1), np.float32)
    _sample(density, positions, normals, curvature, 1 / step_A, _patch(), profiles)
    return profiles


@dataclass(frozen=True, slots=True)
class MembraneProfile:
    """The typical density profile of the membranes of a volume.

    Attributes
    ----------
    values : array of shape (samples,), float32
        Density along the normal, symmetric.
    reference : float
        Correlation of a typical membrane.
    shift_penalty : float
        Cost of a squared shift of 1 Å² in units of the correlation; larger for noisier profiles.
    """

    values: Field
    reference: float = 1.0
    shift_penalty: float = 0.0

    @property
    def inner(self) -> Field:
        """The matched filter: the central part, orthogonal to a constant and to a blurred membrane."""
        inner = self.values[_MAX_SHIFT:-_MAX_SHIFT].astype(np.float64)
        blurred = np.stack([np.ones(len(inner)), _BACKGROUND[_MAX_SHIFT:-_MAX_SHIFT]], axis=1)
        return np.asarray(inner - blurred @ np.linalg.lstsq(blurred, inner, rcond=None)[0], np.float32)

    def correlations(self, profiles: Field) -> Field:
        """Return the cross-correlations (n, shifts) of profiles (n, samples) with this one."""
        windows = np.lib.stride_tricks.sliding_window_view(profiles, len(self.inner), axis=1)
        return np.asarray(windows @ self.inner, np.float32)

    def best_shift(self, correlations: Field) -> tuple[Field, Field]:
        """Return the shift in Å along the normal with the highest correlation (n, shifts), and that correlation."""
        correlations = correlations - np.float32(self.shift_penalty) * _SHIFTS_A**2
        best = correlations[:, 1:-1].argmax(axis=1) + 1
        row = np.arange(len(correlations))
        before, peak, after = correlations[row, best - 1], correlations[row, best], correlations[row, best + 1]
        curvature = before - 2 * peak + after
        subsample = np.where(curvature < 0, 0.5 * (before - after) / np.where(curvature < 0, curvature, 1), 0)
        return np.asarray((best - _MAX_SHIFT + np.clip(subsample, -1, 1)) * _SAMPLE_A, np.float32), peak


def learn_profile(profiles: Field) -> MembraneProfile | None:
    """Learn the typical profile from profiles (n, samples) of clear membranes.

    None if there are too few, or if they are too blurred to distinguish membranes from other dense objects.
    """
    if len(profiles) < _MIN_PROFILES:
        return None
    aligned, row = profiles, np.arange(len(profiles))[:, None]
    steps = np.arange(profiles.shape[1])
    for _ in range(_ITERATIONS):
        mean = aligned.mean(axis=0, dtype=np.float64)
        mean = 0.5 * (mean + mean[::-1])
        mean -= mean.min()
        profile = MembraneProfile(np.asarray(mean, np.float32))
        shift, _ = profile.best_shift(profile.correlations(profiles))
        positions = np.clip(steps + shift[:, None] / _SAMPLE_A, 0, len(steps) - 1.001)
        below = positions.astype(np.int64)
        aligned = profiles[row, below] + (positions - below) * (profiles[row, below + 1] - profiles[row, below])
    correlations = profile.correlations(aligned)[:, _MAX_SHIFT]
    blurred = mean[_MAX_SHIFT:-_MAX_SHIFT] - mean[_MAX_SHIFT:-_MAX_SHIFT].mean()
    if correlations.mean() <= 0 or np.linalg.norm(profile.inner) < _MIN_CONTRAST * np.linalg.norm(blurred):
        return None
    reference = _REFERENCE_SHARE * float(correlations.mean())
    return MembraneProfile(
        profile.values, reference, _SHIFT_PENALTY * float(correlations.var()) / reference * _REFERENCE_SHARE
    )


@nb.njit(cache=True, nogil=True, fastmath=True)
def _smooth(correlations, nodes, positions, normals, index_map, distance, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    last = correlations.shape[1] - 1
    for n in range(len(correlations)):
        out[n] = 0
        total = np.float32(0)
        i, j, k = nodes[n]
        for z in range(max(i - NEIGHBOUR_REACH, 0), min(i + NEIGHBOUR_REACH + 1, index_map.shape[0])):
            for y in range(max(j - NEIGHBOUR_REACH, 0), min(j + NEIGHBOUR_REACH + 1, index_map.shape[1])):
                for x in range(max(k - NEIGHBOUR_REACH, 0), min(k + NEIGHBOUR_REACH + 1, index_map.shape[2])):
                    other = index_map[z, y, x]
                    if other < 0:
                        continue
                    alignment = np.float32(0)
                    height, distance2 = np.float32(0), np.float32(0)
                    for axis in range(3):
                        delta = np.float32(positions[other, axis] - positions[n, axis])
                        alignment += normals[n, axis] * normals[other, axis]
                        height += delta * normals[n, axis]
                        distance2 += delta * delta
                    if abs(alignment) < _MIN_ALIGNMENT or height * height > _MAX_SLOPE * distance2 + _SLOPE_SLACK:
                        continue
                    weight = np.exp(-distance2 / (2 * distance * distance)) * alignment * alignment
                    total += weight
                    for m in range(last + 1):
                        out[n, m] += weight * correlations[other, m if alignment > 0 else last - m]
        out[n] /= total


def smooth_correlations(
    correlations: Field,
    nodes: npt.NDArray[np.int32],
    positions: Field,
    normals: Field,
    shape: tuple[int, ...],
    *,
    step_A: float,
) -> Field:
    """Return the correlations (n, shifts) averaged over the neighbours on the same surface.

    Parameters
    ----------
    correlations : array of shape (n, shifts), float32
    nodes : array of shape (n, 3), int32
    positions : array of shape (n, 3), float32
        Position of the surface next to each node, in nodes.
    normals : array of shape (n, 3), float32
    shape : tuple of int
        Shape of the field of nodes.
    step_A : float
        Distance between nodes in Å.
    """
    index_map = np.full(shape, -1, np.int32)
    index_map[tuple(nodes.T)] = np.arange(len(nodes), dtype=np.int32)
    out = np.empty_like(correlations)
    _smooth(correlations, nodes, positions, normals, index_map, np.float32(_NEIGHBOURS_A / step_A), out)
    return out
