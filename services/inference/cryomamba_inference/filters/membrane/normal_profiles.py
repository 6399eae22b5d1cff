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

_STEP_A = 4.5
_HALF = 10
"""Steps of a section to either side of a surface."""
_MOST = 4
"""Steps by which a surface is moved at most."""
_PATCH_A, _PATCH_STEP_A, _FADE = 42.0, 18.0, 0.7
_SHIFTS_A = np.arange(-_MOST, _MOST + 1, dtype=np.float32) * np.float32(_STEP_A)
_NEIGHBOURS_A = 30.0
NEIGHBOUR_REACH = 2
"""Nodes around a crest whose sections are compared with the profile together with its own."""
_BACKGROUND_A = 26.0
_BACKGROUND = np.exp(-0.5 * (np.arange(-_HALF, _HALF + 1) * _STEP_A / _BACKGROUND_A) ** 2)
_ROUNDS = 2
_LEAST = 100
_VISIBLE = 0.1

_PULL = 0.003
_FULL = 0.5
"""How well membranes fit, as a share of how well the surest do."""
_ALIKE = np.float32(0.8)
_STEEPEST, _ASIDE = np.float32(0.25), np.float32(0.1)


def _patch() -> Field:
    """Return points (n, 3) of a patch: two coordinates in the plane in Å, and weights."""
    count = int(_PATCH_A / _PATCH_STEP_A)
    axis = np.arange(-count, count + 1) * _PATCH_STEP_A
    plane = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    share = (plane**2).sum(axis=1) / _PATCH_A**2
    weights = 1 - _FADE * share[share <= 1]
    return np.column_stack([plane[share <= 1], weights / weights.sum()]).astype(np.float32)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _cut(density, places, normals, bend, scale, patch, sections):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    most = (density.shape[0] - 1, density.shape[1] - 1, density.shape[2] - 1)
    for n in range(len(places)):
        n0, n1, n2 = normals[n]
        # Any two directions in the plane.
        if abs(n0) < 0.8:
            t0, t1, t2 = 1 - n0 * n0, -n0 * n1, -n0 * n2
        else:
            t0, t1, t2 = -n1 * n0, 1 - n1 * n1, -n1 * n2
        length = np.sqrt(t0 * t0 + t1 * t1 + t2 * t2)
        t0, t1, t2 = t0 / length, t1 / length, t2 / length
        u0, u1, u2 = n1 * t2 - n2 * t1, n2 * t0 - n0 * t2, n0 * t1 - n1 * t0
        sections[n] = 0
        for p in range(len(patch)):
            x, y, weight = patch[p]
            up = 0.5 * bend[n] * (x * x + y * y) - _HALF * _STEP_A
            z = places[n, 0] + (x * t0 + y * u0 + up * n0) * scale
            v = places[n, 1] + (x * t1 + y * u1 + up * n1) * scale
            w = places[n, 2] + (x * t2 + y * u2 + up * n2) * scale
            for k in range(2 * _HALF + 1):
                a, b, c = min(max(z, 0.0), most[0]), min(max(v, 0.0), most[1]), min(max(w, 0.0), most[2])
                i, j, q = int(a), int(b), int(c)
                ii, jj, qq = min(i + 1, most[0]), min(j + 1, most[1]), min(q + 1, most[2])
                f, g, h = np.float32(a - i), np.float32(b - j), np.float32(c - q)
                low = density[i, j, q] + h * (density[i, j, qq] - density[i, j, q])
                high = density[i, jj, q] + h * (density[i, jj, qq] - density[i, jj, q])
                front = low + g * (high - low)
                low = density[ii, j, q] + h * (density[ii, j, qq] - density[ii, j, q])
                high = density[ii, jj, q] + h * (density[ii, jj, qq] - density[ii, jj, q])
                sections[n, k] += weight * (front + f * (low + g * (high - low) - front))
                z += _STEP_A * scale * n0
                v += _STEP_A * scale * n1
                w += _STEP_A * scale * n2


def cut_sections(density: Field, places: Places, normals: Field, bend: Field, *, step_A: float) -> Field:
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
    sections = np.empty((len(places), 2 * _HALF + 1), np.float32)
    _cut(density, places, normals, bend, 1 / step_A, _patch(), sections)
    return sections


@dataclass(frozen=True, slots=True)
class Profile:
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
    full: float = 1.0
    pull: float = 0.0

    @property
    def inner(self) -> Field:
        """The part that is compared, blind to what a blurred membrane and the background's level would add."""
        inner = self.values[_MOST:-_MOST].astype(np.float64)
        blurred = np.stack([np.ones(len(inner)), _BACKGROUND[_MOST:-_MOST]], axis=1)
        return np.asarray(inner - blurred @ np.linalg.lstsq(blurred, inner, rcond=None)[0], np.float32)

    def fits(self, sections: Field) -> Field:
        """Return how well sections (n, steps) fit (n, shifts) when shifted against the profile."""
        windows = np.lib.stride_tricks.sliding_window_view(sections, len(self.inner), axis=1)
        return np.asarray(windows @ self.inner, np.float32)

    def best_shift(self, fits: Field) -> tuple[Field, Field]:
        """Return how far above the surface, in Å, the best of the fits (n, shifts) lies, and its height."""
        fits = fits - np.float32(self.pull) * _SHIFTS_A**2
        best = fits[:, 1:-1].argmax(axis=1) + 1
        row = np.arange(len(fits))
        before, top, after = fits[row, best - 1], fits[row, best], fits[row, best + 1]
        bend = before - 2 * top + after
        part = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1), 0)
        return np.asarray((best - _MOST + np.clip(part, -1, 1)) * _STEP_A, np.float32), top


def learn_profile(sections: Field) -> Profile | None:
    """Learn the profile of membranes from sections (n, steps) of sure ones.

    None where they are too few, or blurred until nothing is left that tells them from other dense things.
    """
    if len(sections) < _LEAST:
        return None
    aligned, row = sections, np.arange(len(sections))[:, None]
    steps = np.arange(sections.shape[1])
    for _ in range(_ROUNDS):
        mean = aligned.mean(axis=0, dtype=np.float64)
        mean = 0.5 * (mean + mean[::-1])
        mean -= mean.min()
        profile = Profile(np.asarray(mean, np.float32))
        shift, _ = profile.best_shift(profile.fits(sections))
        places = np.clip(steps + shift[:, None] / _STEP_A, 0, len(steps) - 1.001)
        below = places.astype(np.int64)
        aligned = sections[row, below] + (places - below) * (sections[row, below + 1] - sections[row, below])
    fits = profile.fits(aligned)[:, _MOST]
    blurred = mean[_MOST:-_MOST] - mean[_MOST:-_MOST].mean()
    if fits.mean() <= 0 or np.linalg.norm(profile.inner) < _VISIBLE * np.linalg.norm(blurred):
        return None
    full = _FULL * float(fits.mean())
    return Profile(profile.values, full, _PULL * float(fits.var()) / full * _FULL)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _together(fits, nodes, places, normals, who, distance, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    last = fits.shape[1] - 1
    for n in range(len(fits)):
        out[n] = 0
        total = np.float32(0)
        i, j, k = nodes[n]
        for z in range(max(i - NEIGHBOUR_REACH, 0), min(i + NEIGHBOUR_REACH + 1, who.shape[0])):
            for y in range(max(j - NEIGHBOUR_REACH, 0), min(j + NEIGHBOUR_REACH + 1, who.shape[1])):
                for x in range(max(k - NEIGHBOUR_REACH, 0), min(k + NEIGHBOUR_REACH + 1, who.shape[2])):
                    other = who[z, y, x]
                    if other < 0:
                        continue
                    alike = np.float32(0)
                    up, square = np.float32(0), np.float32(0)
                    for axis in range(3):
                        way = np.float32(places[other, axis] - places[n, axis])
                        alike += normals[n, axis] * normals[other, axis]
                        up += way * normals[n, axis]
                        square += way * way
                    if abs(alike) < _ALIKE or up * up > _STEEPEST * square + _ASIDE:
                        continue
                    weight = np.exp(-square / (2 * distance * distance)) * alike * alike
                    total += weight
                    for m in range(last + 1):
                        out[n, m] += weight * fits[other, m if alike > 0 else last - m]
        out[n] /= total


def fits_together(
    fits: Field, nodes: npt.NDArray[np.int32], places: Field, normals: Field, shape: tuple[int, ...], *, step_A: float
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
    who = np.full(shape, -1, np.int32)
    who[tuple(nodes.T)] = np.arange(len(nodes), dtype=np.int32)
    out = np.empty_like(fits)
    _together(fits, nodes, places, normals, who, np.float32(_NEIGHBOURS_A / step_A), out)
    return out
