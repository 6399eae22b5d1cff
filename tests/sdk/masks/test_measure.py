"""Measurements against shapes whose numbers are known."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cryomamba.masks import measure as module
from cryomamba.masks import surface_area as surface
from cryomamba.masks import thickness
from cryomamba.masks.measure import measure, write_csv
from cryomamba.masks.slabs import LabelSource

Shell = Callable[..., np.ndarray]
SIZES = [(10.0, 10.0, 10.0), (15.0, 10.0, 10.0), (10.0, 14.0, 14.0)]


def plane(normal: tuple[float, float, float], thickness: float, side: int = 40) -> np.ndarray:
    """A plate that runs through the whole volume."""
    n = np.array(normal) / np.linalg.norm(normal)
    at = np.arange(side) - side / 2 + 0.21
    inside: np.ndarray = np.abs(at[:, None, None] * n[0] + at[:, None] * n[1] + at * n[2]) < thickness / 2
    return inside


@pytest.mark.parametrize("normal", [(1, 0, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1), (1, 0.3, 0.2), (0.5, 0.2, 0.9)])
def test_planes_in_any_direction(normal: tuple[float, float, float]) -> None:
    """Surface (faces times the cosine to the plate's true normal) to 1.5 %, thickness to 0.7 voxel, however it lies."""
    mask = plane(normal, 5.0)
    found = measure(LabelSource.of_array(mask, (10.0, 10.0, 10.0)), {}).labels[0]
    cosines = np.abs(normal) / np.linalg.norm(normal)
    faces = [np.count_nonzero(np.diff(mask, axis=axis)) for axis in range(3)]
    assert found.surface_nm2 == pytest.approx(float(np.dot(faces, cosines)), rel=0.015)
    assert found.thickness_A == pytest.approx(50, abs=7)


@pytest.mark.parametrize("depth", [1, 3, 7])
def test_results_do_not_depend_on_slabs(depth: int) -> None:
    """Every number of every component is the same for thin slabs as for the whole."""
    rng = np.random.default_rng(1)
    mask = (rng.integers(1, 4, (20, 24, 22)) * (rng.random((20, 24, 22)) < 0.2)).astype(np.uint8)
    size = (12.0, 10.0, 10.0)
    whole = measure(LabelSource.of_array(mask, size), {})
    slabs = measure(LabelSource.of_array(mask, size, slab_voxels=depth * mask[0].size), {})
    assert whole.count == slabs.count > 50
    for one, other in zip([*whole.labels, *whole.instances()], [*slabs.labels, *slabs.instances()], strict=True):
        for name, value in one.model_dump().items():
            assert getattr(other, name) == (pytest.approx(value) if isinstance(value, float) else value)


def test_results_do_not_depend_on_strips_and_threads(monkeypatch: pytest.MonkeyPatch, make_shell: Shell) -> None:
    """Measured in narrow strips by several threads, the results are the same."""
    mask = make_shell(140, 100, (10.0, 10.0, 10.0)).astype(np.uint8)
    mask[2:4, 3:9] = 2
    source = LabelSource.of_array(mask, (10.0, 10.0, 10.0))
    (monkeypatch.setattr(thickness, "_HALO_MAX", 6), monkeypatch.setattr(thickness, "_TILE_VOXELS", 1 << 30))
    whole = measure(source, {})
    monkeypatch.setattr(thickness, "_TILE_VOXELS", 0)
    monkeypatch.setattr(surface, "_VOXELS", 0)
    strips = measure(source, {}, threads=3)
    for one, other in zip(whole.labels, strips.labels, strict=True):
        for name, value in one.model_dump().items():
            assert getattr(other, name) == (pytest.approx(value) if isinstance(value, float) else value)


def test_only_the_largest_components_are_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of more components than are listed, the smaller ones count for their label and have no row of their own."""
    rng = np.random.default_rng(3)
    source = LabelSource.of_array((rng.random((20, 24, 22)) < 0.05).astype(np.uint8), (12.0, 10.0, 10.0))
    every = measure(source, {1: "dot"})
    monkeypatch.setattr(module, "COMPONENTS_MAX", 20)
    some = measure(source, {1: "dot"})
    assert some.count == every.count > 100
    assert some.listed == 20
    assert list(some.instances()) == list(every.instances(20))
    for name, value in some.labels[0].model_dump().items():
        other = getattr(every.labels[0], name)
        assert other == (pytest.approx(value) if isinstance(value, float | tuple) else value)
    write_csv(some, tmp_path / "t.csv")
    assert len((tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()) == 22


def test_components_add_up_to_their_label(make_shell: Shell) -> None:
    """Voxels and surface of the components sum to the label's, and each has its own position."""
    ball = make_shell(60, 0, (10.0, 10.0, 10.0))
    mask = np.concatenate([ball, ball, ball], axis=2)
    found = measure(LabelSource.of_array(mask, (10.0, 10.0, 10.0)), {1: "ball"})
    (label,) = found.labels
    components = list(found.instances())
    assert label.instances == found.count == 3
    assert sum(component.voxels for component in components) == label.voxels
    assert sum(component.surface_nm2 or 0 for component in components) == pytest.approx(label.surface_nm2)
    assert len({component.centroid for component in components}) == 3


@pytest.mark.parametrize("mask", [np.zeros((5, 6, 7), np.uint8), np.ones((1, 1, 1), np.uint8)])
def test_empty_and_tiny(mask: np.ndarray) -> None:
    """A named label that does not occur has zeros and no position; a single voxel is measured."""
    (found,) = measure(LabelSource.of_array(mask, (10.0, 10.0, 10.0)), {1: "a"}).labels
    assert found.voxels == mask.sum()
    assert (found.centroid is None) == (not mask.any())


def test_a_name_is_no_formula(tmp_path: Path) -> None:
    """The name of a label, which a model brings along, is not computed by a spreadsheet; negative numbers stay."""
    source = LabelSource.of_array(np.ones((2, 2, 2), np.uint8), (10.0, 10.0, 10.0))
    write_csv(measure(source, {1: "=1+1"}), tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["'=1+1"] * 2


def test_the_table_reads_back(make_shell: Shell, tmp_path: Path) -> None:
    """One row per label and one per component; columns say their unit; numbers are those measured."""
    mask = make_shell(60, 0, (10.0, 10.0, 10.0)).astype(np.uint8)
    mask[0, 0, 0] = 3
    found = measure(LabelSource.of_array(mask, (10.0, 10.0, 10.0)), {1: "ball"})
    write_csv(found, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["kind"], row["name"]) for row in rows] == [
        ("label", "ball"),
        ("label", "label 3"),
        ("instance", "ball"),
        ("instance", "label 3"),
    ]
    assert int(rows[0]["voxels"]) == found.labels[0].voxels
    assert float(rows[0]["surface_nm2"]) == pytest.approx(found.labels[0].surface_nm2, rel=1e-4)
    assert rows[3]["box_stop_x"] == "1"
