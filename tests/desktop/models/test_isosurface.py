"""Surfaces of masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_cryomamba.models.isosurface import Isosurface, isosurface


def ball(shape: tuple[int, int, int], centre: tuple[int, int, int], radius: float) -> Any:
    """Return where a ball is."""
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 <= radius**2


def volume(surface: Isosurface) -> float:
    """Return the volume within a closed surface; negative if it is inside out."""
    a, b, c = (surface.vertices[surface.triangles[:, corner]].astype(float)[:, ::-1] for corner in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def test_the_surface_of_a_ball_lies_on_it() -> None:
    """Vertices are a radius from the centre, and the closed surface has the ball's volume, outside out."""
    mask = ball((40, 44, 48), (20, 22, 25), 12).astype(np.uint8)
    surface = isosurface(mask)
    distance = np.linalg.norm(surface.vertices - (20, 22, 25), axis=1)
    np.testing.assert_allclose(distance, 12, atol=1.0)
    assert volume(surface) == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.08)


def test_a_large_mask_is_made_coarser_and_stays_in_place() -> None:
    """With a third of the resolution the ball has its place, a little thicker, with far fewer triangles."""
    mask = ball((60, 66, 63), (30, 33, 31), 20).astype(np.uint8)
    fine, coarse = isosurface(mask), isosurface(mask, voxels_max=mask.size // 20)
    np.testing.assert_allclose(coarse.vertices.mean(axis=0), (30, 33, 31), atol=0.7)
    assert volume(fine) < volume(coarse) < 1.5 * volume(fine)
    assert len(coarse.triangles) < len(fine.triangles) / 5


def test_vertices_have_the_label_they_surround() -> None:
    """Two balls, one at the border of the volume, keep their numbers; nothing is lost by merging them."""
    shape = (40, 60, 40)
    mask = np.zeros(shape, np.uint16)
    mask[ball(shape, (20, 15, 20), 8)] = 7
    mask[ball(shape, (20, 59, 20), 8)] = 300
    surface = isosurface(mask)
    assert set(surface.labels.tolist()) == {7, 300}
    assert surface.vertices[surface.labels == 7][:, 1].max() < 30 < surface.vertices[surface.labels == 300][:, 1].min()


def test_an_empty_mask_has_no_surface() -> None:
    """No triangles, and no error."""
    surface = isosurface(np.zeros((5, 6, 7), np.uint8))
    assert len(surface.vertices) == len(surface.triangles) == len(surface.labels) == 0


def test_it_stops_when_asked_to() -> None:
    """Progress rises to 1, and an error in it ends the work."""
    seen: list[float] = []
    mask = np.zeros((30, 200, 200), np.uint8)
    mask[10:20, 50:60] = 1
    isosurface(mask, voxels_max=mask.size // 3, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1

    def stop(_fraction: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        isosurface(mask, progress=stop)
