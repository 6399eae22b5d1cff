"""Meshes are closed, look outwards, lie on the tomogram, and are read back by others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from cryomamba.errors import InvalidRequestError
from cryomamba.masks.export import export
from cryomamba.masks.mesh import mesh_parts
from cryomamba.masks.mesh_files import write_obj, write_stl
from cryomamba.masks.slabs import LabelSource
from cryomamba.volumes import MaskWriter, blank_header, open_volume

Shell = Callable[..., np.ndarray]
TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def joined(mask: np.ndarray, depth: int, size: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> tuple[np.ndarray, ...]:
    parts = list(mesh_parts(LabelSource.of_array(mask, size, slab_voxels=depth * mask[0].size)))
    return np.concatenate([part.points for part in parts]), np.concatenate([part.quads for part in parts])


def volume_of(triangles: np.ndarray) -> float:
    a, b, c = (triangles[:, corner].astype(float) for corner in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


@given(seed=st.integers(0, 99), share=st.sampled_from([0.1, 0.5, 1.0]), depth=st.integers(1, 8))
def test_any_mesh_is_closed(seed: int, share: float, depth: int) -> None:
    """Each edge is walked in both directions equally often, and slabs of any depth give the same mesh."""
    mask = np.random.default_rng(seed).random((8, 6, 7)) < share
    points, quads = joined(mask, depth)
    ends = np.concatenate([quads[:, [at, (at + 1) % 4]] for at in range(4)])
    there, back = ends @ [10**6, 1], ends @ [1, 10**6]
    assert np.array_equal(np.sort(there), np.sort(back))
    whole, _ = joined(mask, 8)
    assert points == pytest.approx(whole, abs=1e-4)
    assert quads.min(initial=0) >= 0


def test_a_ball_has_its_volume_and_place(make_shell: Shell, tmp_path: Path) -> None:
    """Read back from STL: volume to 5 %, positive because it looks outwards, centre in Å where the mask lies."""
    size = (15.0, 10.0, 10.0)
    ball = make_shell(100, 0, size)
    source = LabelSource.of_array(ball, size, slab_voxels=4 * ball[0].size)
    write_stl(mesh_parts(source, placement_A=(1000.0, -200.0, 30.0)), tmp_path / "ball.stl")
    raw = (tmp_path / "ball.stl").read_bytes()
    count = int.from_bytes(raw[80:84], "little")
    assert len(raw) == 84 + 50 * count
    triangles = np.frombuffer(raw[84:], TRIANGLE)["corners"]
    middle = [offset + (n - 1) / 2 * step for offset, n, step in zip((1000, -200, 30), ball.shape, size, strict=True)]
    assert triangles.reshape(-1, 3).mean(axis=0) == pytest.approx(middle[::-1], abs=1)
    assert volume_of(triangles - np.array(middle[::-1])) == pytest.approx(4 / 3 * np.pi * 1e6, rel=0.05)


@pytest.mark.parametrize("name", ["ball.stl", "ball.obj"])
def test_trimesh_reads_size_and_place(make_shell: Shell, tmp_path: Path, name: str) -> None:
    """From a mask with an origin and three voxel sizes: closed, looks outwards, x y z in ångström with the origin."""
    size, origin = (15.0, 10.0, 12.0), (1000.0, -200.0, 30.0)
    ball = make_shell(100, 0, size).astype(np.uint8)
    header = dataclasses.replace(blank_header(ball.shape, size), standard_origin_A=origin[::-1])
    with MaskWriter(tmp_path / "ball.mrc", header, labels=1, engine="x") as writer:
        writer.write(0, 0, 0, ball)
    with open_volume(tmp_path / "ball.mrc") as mask:
        assert mask.header.placement_A == origin
        export(mask, tmp_path / name)
    mesh = trimesh.load_mesh(tmp_path / name)
    middle = [offset + (n - 1) / 2 * step for offset, n, step in zip(origin, ball.shape, size, strict=True)]
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 1e6, rel=0.08)
    assert mesh.bounds.mean(axis=0) == pytest.approx(middle[::-1], abs=1)
    assert mesh.extents == pytest.approx([200, 200, 200], abs=15)


def test_obj_holds_the_same_mesh(make_shell: Shell, tmp_path: Path) -> None:
    """Vertices and quads of the text file are those of the parts, counted from 1."""
    mask = make_shell(8, 5, (1.0, 1.0, 1.0))
    source = LabelSource.of_array(mask, (1.0, 1.0, 1.0), slab_voxels=5 * mask[0].size)
    write_obj(mesh_parts(source), tmp_path / "shell.obj")
    lines = [line.split() for line in (tmp_path / "shell.obj").read_text().splitlines()[1:]]
    points, quads = joined(mask, 5)
    assert np.array([line[1:] for line in lines if line[0] == "v"], float) == pytest.approx(points, abs=0.006)
    assert np.array_equal(np.array([line[1:] for line in lines if line[0] == "f"], int) - 1, quads)


def test_only_one_label(make_shell: Shell) -> None:
    """A selected label is meshed alone."""
    mask = make_shell(8, 0, (1.0, 1.0, 1.0)).astype(np.uint8)
    both = np.concatenate([mask, 2 * mask])
    parts = [list(mesh_parts(LabelSource.of_array(which), label)) for which, label in ((both, 2), (mask, None))]
    assert sum(len(part.quads) for part in parts[0]) == sum(len(part.quads) for part in parts[1])


def test_an_empty_mesh_is_refused(tmp_path: Path) -> None:
    """Nothing is written for a mask without a surface."""
    source = LabelSource.of_array(np.zeros((4, 4, 4), np.uint8))
    for write in (write_stl, write_obj):
        with pytest.raises(InvalidRequestError, match="empty"):
            write(mesh_parts(source), tmp_path / "none")
    assert not list(tmp_path.iterdir())
