"""Tables of picks, Amira label fields, IMOD contours and meshes, read by the libraries of others."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from tests.formats.conftest import OtherProgram

from cryomamba.errors import InvalidRequestError
from cryomamba.masks.contours import mask_contours
from cryomamba.masks.export import export
from cryomamba.picks import Picks, TomogramInfo, write_dynamo, write_imod, write_star
from cryomamba.volumes import MaskWriter, Volume, blank_header, open_volume
from cryomamba.volumes.label_names import name_lines

SIZE = (12.0, 10.0, 13.5)
ORIGIN = (-30.0, 20.5, 100.25)


def opened(path: Path, labels: np.ndarray, size: Any = SIZE, names: dict[int, str] | None = None) -> Volume:
    """Write a mask, and open it."""
    header = dataclasses.replace(blank_header(labels.shape, size), standard_origin_A=ORIGIN[::-1])
    header = dataclasses.replace(header, labels=(*header.labels, *name_lines(names or {})))
    with MaskWriter(path, header, labels=max(int(labels.max()), 1), engine="x") as writer:
        writer.write(0, 0, 0, labels)
    return open_volume(path)


def inside(lines: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels (y, x) that are inside an odd number of contours, by rays along x."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    odd = np.zeros(shape, bool)
    for line in lines:
        for (y0, x0), (y1, x1) in zip(line, np.roll(line, -1, axis=0), strict=True):
            if y0 != y1:
                crossed = (y0 <= y) != (y1 <= y)
                odd ^= crossed & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return odd


@pytest.mark.parametrize("highest", [3, 1000])
def test_amira_reads_labels_and_materials(tmp_path: Path, other_program: OtherProgram, highest: int) -> None:
    """Voxels, materials, and a bounding box in ångström from centre to centre."""
    labels = np.random.default_rng(4).integers(0, highest + 1, (5, 7, 9)).astype(np.uint16)
    labels[0, 0, 0] = highest
    with opened(tmp_path / "m.mrc", labels, names={1: "outer membrane", 2: "ribosome"}) as mask:
        export(mask, tmp_path / "m.am")
    found = other_program("read_others.py", "amira", tmp_path / "m.am")
    assert np.array_equal(found["labels"], labels)
    assert found["lattice"] == [9, 7, 5]
    expected = [
        end
        for start, n, step in zip(ORIGIN, labels.shape, SIZE, strict=True)
        for end in (start, start + (n - 1) * step)
    ]
    assert found["box"] == pytest.approx([*expected[4:], *expected[2:4], *expected[:2]])
    assert found["coordinates"] == "uniform"
    materials = found["materials"]
    assert materials["Exterior"] == 0
    assert materials["label_3"] == 3
    assert len(materials) == 1 + min(highest, 255)


def test_a_single_plane_is_refused_for_amira(tmp_path: Path) -> None:
    """One voxel has no distance from centre to centre."""
    with opened(tmp_path / "m.mrc", np.ones((1, 4, 5), np.uint8)) as mask, pytest.raises(InvalidRequestError):
        export(mask, tmp_path / "m.am")


def test_imod_reads_contours_that_are_the_mask(tmp_path: Path, other_program: OtherProgram) -> None:
    """A closed object for each label; in each section the pixels inside the contours are those of the label."""
    labels = np.random.default_rng(5).integers(0, 4, (3, 11, 13)).astype(np.uint8)
    labels[1, 2:9, 2:9], labels[1, 4:7, 4:7], labels[2] = 1, 2, 0
    with opened(tmp_path / "m.mrc", labels) as mask:
        export(mask, tmp_path / "m.mod")
    found = other_program("read_others.py", "imod", tmp_path / "m.mod")
    assert found["size"] == [13, 11, 3]
    assert found["pixel_nm"] == pytest.approx(1.35)
    assert [(one["open"], one["scattered"]) for one in found["objects"]] == [(False, False)] * 3
    for number, one in enumerate(found["objects"], 1):
        assert one["name"].startswith(f"label {number}")
        contours = [np.array(contour) for contour in one["contours"]]
        for z, plane in enumerate(labels):
            # In IMOD, the centre of the first pixel is 0.5, and that of the first section 0.
            lines = [line[:, 1::-1] - 0.5 for line in contours if line[0, 2] == z]
            assert np.array_equal(inside(lines, plane.shape), plane == number)


def test_imod_reads_points(tmp_path: Path, other_program: OtherProgram) -> None:
    """Particles are scattered points of an object for each label, filaments open contours."""
    frame = TomogramInfo((40, 61, 80), (10.0, 10.0, 10.0), "TS_1")
    places = np.array([[0.0, 0.0, 0.0], [20.0, 30.5, 40.0], [39.25, 60.0, 79.5]])
    numbers = np.array([1, 2, 2])
    write_imod(Picks(places, np.zeros(3), numbers), tmp_path / "p.mod", frame)
    write_imod(Picks(places, np.zeros(3), numbers, "filaments"), tmp_path / "f.mod", frame)
    points = other_program("read_others.py", "imod", tmp_path / "p.mod")["objects"]
    assert [one["scattered"] for one in points] == [True, True]
    assert points[1]["contours"] == [[[40.5, 31.0, 20.0], [80.0, 60.5, 39.25]]]
    lines = other_program("read_others.py", "imod", tmp_path / "f.mod")["objects"]
    assert [one["open"] for one in lines] == [True]
    assert [len(contour) for contour in lines[0]["contours"]] == [1, 2]


@pytest.mark.parametrize("seed", range(8))
def test_contours_of_any_section(seed: int) -> None:
    """Contours at the border, of single pixels, of holes and through corners are again the mask."""
    mask = np.random.default_rng(seed).random((9, 12)) < (seed + 1) / 9
    assert np.array_equal(inside(list(mask_contours(mask)), mask.shape), mask)
    # Pixels that touch at a corner are in one contour.
    assert len(list(mask_contours(np.eye(4, dtype=bool)))) == 1


@pytest.mark.parametrize("name", ["b.stl", "b.obj", "b.ply", "b.glb"])
def test_meshes_have_the_area_of_the_mask(tmp_path: Path, name: str, other_program: OtherProgram) -> None:
    """Of a ball, in Å and in nm: closed, the area of the sphere to 3 %, that of the voxels' faces times 2/3 to 4 %."""
    radius, size = 20, 12.0
    z, y, x = np.ogrid[-24:25, -24:25, -24:25]
    ball = (z**2 + y**2 + x**2 <= radius**2).astype(np.uint8)
    faces = sum(int(np.abs(np.diff(ball.astype(int), axis=axis)).sum()) for axis in range(3))
    with opened(tmp_path / "b.mrc", ball, size) as mask:
        export(mask, tmp_path / name)
        export(mask, tmp_path / f"nm-{name}", mesh_unit="nm")
    found: Any = trimesh.load(tmp_path / name, force="mesh")
    found.merge_vertices()
    assert found.is_watertight
    assert found.area == pytest.approx(4 * np.pi * (radius * size) ** 2, rel=0.03)
    assert found.area == pytest.approx(faces * size**2 * 2 / 3, rel=0.04)
    middle = [start + 24 * size for start in ORIGIN[::-1]]
    assert found.centroid == pytest.approx(middle, abs=1)
    in_nm: Any = trimesh.load(tmp_path / f"nm-{name}", force="mesh")
    assert in_nm.area == pytest.approx(found.area / 100, rel=1e-3)
    assert in_nm.centroid == pytest.approx(found.centroid / 10, abs=0.01)
    if not name.endswith(".glb"):
        other = other_program("read_others.py", "mesh", tmp_path / name)
        points = np.array(other["points"])
        assert points.min(axis=0) == pytest.approx(found.vertices.min(axis=0), abs=0.01)
        assert len(other["triangles"]) + 2 * len(other["quads"]) == len(found.faces)


def test_an_empty_mask_has_neither_contours_nor_mesh(tmp_path: Path) -> None:
    """It is refused, and no file is left."""
    with opened(tmp_path / "m.mrc", np.zeros((3, 4, 5), np.uint8)) as mask:
        for name in ("m.mod", "m.ply", "m.glb"):
            with pytest.raises(InvalidRequestError):
                export(mask, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["m.mrc"]


FRAME = TomogramInfo((40, 61, 80), (10.0, 10.0, 10.0), "TS_1")
PLACES = np.array([[1.0, 2.5, 3.0], [1.0, 2.5, 8.0], [2.0, 30.0, 40.0], [5.0, 30.0, 40.0]])
NUMBERS = np.array([1, 1, 2, 2])
NORMALS = np.array([[0.0, 0.6, 0.8], [1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


@pytest.mark.parametrize("dialect", [{"relion": 5}, {"relion": 4}, {"warp": True}], ids=["relion5", "relion4", "warp"])
def test_star_files_have_places_and_normals(tmp_path: Path, other_program: OtherProgram, dialect: Any) -> None:
    """Another program's reader of RELION's conventions finds the positions in Å and the normals as z axes."""
    picks = Picks(PLACES, np.full(4, np.nan), NUMBERS, "membranes", NORMALS)
    write_star(picks, tmp_path / "p.star", FRAME, **dialect)
    centre = [side * 5.0 for side in FRAME.shape[::-1]] if dialect == {"relion": 5} else []
    found = other_program("read_others.py", "star", tmp_path / "p.star", 10.0, *centre)
    assert np.allclose(found["positions"], PLACES[:, ::-1] * 10, atol=0.01)
    assert np.allclose(found["z_axes"], NORMALS[:, ::-1], atol=1e-4)


def test_filaments_of_relion_are_filaments(tmp_path: Path, other_program: OtherProgram) -> None:
    """Numbers and order of the points along each filament."""
    write_star(Picks(PLACES, np.ones(4), NUMBERS, "filaments"), tmp_path / "f.star", FRAME)
    centre = [side * 5.0 for side in FRAME.shape[::-1]]
    found = other_program("read_others.py", "star", tmp_path / "f.star", 10.0, *centre)
    assert found["ids"] == [1, 1, 2, 2]
    assert np.allclose(found["positions"], PLACES[:, ::-1] * 10, atol=0.01)


def test_dynamo_tables(tmp_path: Path, other_program: OtherProgram) -> None:
    """Places count from 1, as in MATLAB; score, class and region."""
    write_dynamo(Picks(PLACES, np.array([4.0, 3.0, 2.0, 1.0]), NUMBERS), tmp_path / "p.tbl", FRAME)
    found = other_program("read_others.py", "dynamo", tmp_path / "p.tbl")
    assert np.allclose(np.column_stack([found[axis] for axis in "zyx"]), PLACES + 1)
    assert found["cc"] == [4, 3, 2, 1]
    assert found["class"] == [1, 1, 2, 2]
