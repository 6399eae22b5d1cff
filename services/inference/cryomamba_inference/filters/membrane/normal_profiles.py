"""Sections across membranes: where between its leaflets the middle of one lies.

The plates see membranes blurred to some 27 Å and say where one is to about 6 Å. Finer nodes are averaged over a patch
of the surface into a section along its normal. What a membrane's section looks like in a volume, two leaflets or one
ridge, with fringes or without, is learned from the volume's own membranes: the mean of their sections, turned over and
shifted until it fits itself (as in subtomogram averaging). Sections of neighbours are compared with it together, so
that the surface stays smooth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Places = npt.NDArray[np.float64]

_SAMPLE_A = 4.5
_HALF_SAMPLES = 10
"""Steps of a section to either side of a surface."""
_MAX_SHIFT = 4
"""Steps by which a surface is moved at most."""
_PATCH_A, _PATCH_STEP_A, _PATCH_DECAY = 42.0, 18.0, 0.7
_SHIFTS_A = np.arange(-_MAX_SHIFT, _MAX_SHIFT + 1, dtype=np.float32) * np.float32(_SAMPLE_A)
_NEIGHBOURS_A = 30.0
NEIGHBOUR_REACH = 2
"""Nodes around a crest whose sections are compared with the profile together with its own."""
_BACKGROUND_A = 26.0
_BACKGROUND = np.exp(-0.5 * (np.arange(-_HALF_SAMPLES, _HALF_SAMPLES + 1) * _SAMPLE_A / _BACKGROUND_A) ** 2)
_ITERATIONS = 2
_MIN_PROFILES = 100
_MIN_CONTRAST = 0.1

_SHIFT_PENALTY = 0.003
_REFERENCE_SHARE = 0.5
"""How well membranes fit, as a share of how well the surest do."""
_MIN_ALIGNMENT = np.float32(0.8)
_MAX_SLOPE, _SLOPE_SLACK = np.float32(0.25), np.float32(0.1)


def _patch() -> Field:
    """Return points (n, 3) of a patch: two coordinates in the plane in Å, and weights."""
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
        # Any two directions in the plane.
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


def sample_profiles(density: Field, positions: Places, normals: Field, curvature: Field, *, step_A: float) -> Field:
    """Return the densities (n, steps) along the normals of patches of a surface.

    Parameters
    ----------
    density : array of shape (z, y, x), float32
        On nodes of the whole volume; may be a memory map.
    places : array of shape (n, 3), float64
        Middles of the patches, in nodes of `density`; what lies outside is as at the border.
    normals : array of shape (n, 3), float32
    bend : array of shape (n,), float32
        Curvature in 1 / Å, positive where the surface bends towards the normal.
    step_A : float
        Distance of the nodes of `density`.
    """
    profiles = np.empty((len(positions), 2 * _HALF_SAMPLES + 1), np.float32)
    _sample(density, positions, normals, curvature, 1 / step_A, _patch(), profiles)
    return profiles


@dataclass(frozen=True, slots=True)
class MembraneProfile:
    """What membranes of a volume look like in section.

    Attributes
    ----------
    values : array of shape (steps,), float32
        Density along the normal, the same on both sides.
    full : float
        How well membranes fit.
    pull : float
        What a shift by 1 Å costs, in fits: the noisier the sections, the more.
    """

    values: Field
    reference: float = 1.0
    shift_penalty: float = 0.0

    @property
    def inner(self) -> Field:
        """The part that is compared, blind to what a blurred membrane and the background's level would add."""
        inner = self.values[_MAX_SHIFT:-_MAX_SHIFT].astype(np.float64)
        blurred = np.stack([np.ones(len(inner)), _BACKGROUND[_MAX_SHIFT:-_MAX_SHIFT]], axis=1)
        return np.asarray(inner - blurred @ np.linalg.lstsq(blurred, inner, rcond=None)[0], np.float32)

    def correlations(self, profiles: Field) -> Field:
        """Return how well sections (n, steps) fit (n, shifts) when shifted against the profile."""
        windows = np.lib.stride_tricks.sliding_window_view(profiles, len(self.inner), axis=1)
        return np.asarray(windows @ self.inner, np.float32)

    def best_shift(self, correlations: Field) -> tuple[Field, Field]:
        """Return how far above the surface, in Å, the best of the fits (n, shifts) lies, and its height."""
        correlations = correlations - np.float32(self.shift_penalty) * _SHIFTS_A**2
        best = correlations[:, 1:-1].argmax(axis=1) + 1
        row = np.arange(len(correlations))
        before, peak, after = correlations[row, best - 1], correlations[row, best], correlations[row, best + 1]
        curvature = before - 2 * peak + after
        subsample = np.where(curvature < 0, 0.5 * (before - after) / np.where(curvature < 0, curvature, 1), 0)
        return np.asarray((best - _MAX_SHIFT + np.clip(subsample, -1, 1)) * _SAMPLE_A, np.float32), peak


def learn_profile(profiles: Field) -> MembraneProfile | None:
    """Learn the profile of membranes from sections (n, steps) of sure ones.

    None where they are too few, or blurred until nothing is left that tells them from other dense things.
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
    """Return the mean fits (n, shifts) of crests and of their neighbours on the same surface.

    Parameters
    ----------
    fits : array of shape (n, shifts), float32
    nodes : array of shape (n, 3), int32
    places : array of shape (n, 3), float32
        Of the surface beside each node, in nodes.
    normals : array of shape (n, 3), float32
    shape : tuple of int
        Of the field of nodes.
    step_A : float
        Distance of the nodes.
    """
    index_map = np.full(shape, -1, np.int32)
    index_map[tuple(nodes.T)] = np.arange(len(nodes), dtype=np.int32)
    out = np.empty_like(correlations)
    _smooth(correlations, nodes, positions, normals, index_map, np.float32(_NEIGHBOURS_A / step_A), out)
    return out
