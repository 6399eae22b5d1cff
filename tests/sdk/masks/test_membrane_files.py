"""Components, medial surface, points and normals of a mask agree with each other, and other libraries read them."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import nrrd
import numpy as np
import pytest

from cryomamba.masks import membrane_files as traced
from cryomamba.masks.instances import find_instances
from cryomamba.masks.membrane_files import MembraneFiles, Membranes, trace_membranes
from cryomamba.masks.slabs import LabelSource
from cryomamba.volumes import MaskWriter, blank_header, open_volume

SIZE = (12.0, 10.0, 10.0)
SHAPE = (50, 60, 90)
FILES = ("instances.mrc", "medial_surface.mrc", "normals.nrrd")


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """A vesicle of 180 Å radius and a flat sheet, 48 Å thick, label 1; a block of label 2."""
    z, y, x = (np.arange(count) * along for count, along in zip(SHAPE, SIZE, strict=True))
    distance = np.sqrt((z[:, None, None] - 300) ** 2 + (y[:, None] - 290) ** 2 + (x - 250) ** 2)
    labels = (np.abs(distance - 180) <= 24).astype(np.uint8)
    labels[:, :, 70:75] = 1
    labels[2:6, 2:6, 80:88] = 2
    path = tmp_path / "mask.mrc"
    with MaskWriter(path, blank_header(SHAPE, SIZE), labels=2, engine="test") as writer:
        writer.write(0, 0, 0, labels)
    return path


def run(mask: Path, folder: Path, *, planes: int = 1000) -> Membranes:
    folder.mkdir(exist_ok=True)
    files = MembraneFiles(*(folder / name for name in FILES))
    with open_volume(mask) as volume:
        source = LabelSource.of_volume(volume, slab_voxels=planes * SHAPE[1] * SHAPE[2])
        return trace_membranes(find_instances(source), volume, files, label=1, thickness_A=48, spacing_A=80)


def test_areas_are_those_of_the_middle_planes(mask: Path, tmp_path: Path) -> None:
    """The sheet has its width times its depth, the vesicle 4πr², the block of another label nothing."""
    found = run(mask, tmp_path / "a")
    vesicle, sheet, other = found.medial_surface_nm2
    assert sheet == pytest.approx(50 * 1.2 * 60 * 1.0, rel=0.02)
    assert vesicle == pytest.approx(4 * np.pi * 18**2, rel=0.04)
    assert other == 0
    assert set(found.points.labels.tolist()) == {1, 2}


def test_files_fit_each_other(mask: Path, tmp_path: Path) -> None:
    """Components cover the mask, the surface lies in them, and unit normals (x first) are where the surface is."""
    found = run(mask, tmp_path / "a")
    whole = mrcfile.read(mask)
    instances, middle = (mrcfile.read(tmp_path / "a" / name) for name in FILES[:2])
    assert np.array_equal(instances > 0, whole > 0)
    assert instances.max() == 3
    on = middle > 0
    assert np.array_equal(middle[on], instances[on])
    with open_volume(tmp_path / "a" / "medial_surface.mrc") as file:
        assert file.voxel_size_A == SIZE
    field, header = nrrd.read(str(tmp_path / "a" / "normals.nrrd"), index_order="C")
    assert field.shape == (*SHAPE, 3)
    assert header["kinds"] == ["vector", "domain", "domain", "domain"]
    assert np.array_equal(header["space directions"][1:], np.diag(SIZE[::-1]))
    np.testing.assert_allclose(np.linalg.norm(field, axis=3), on, atol=1e-5)
    places = np.argwhere(middle == 1)
    away = (places * SIZE - (300, 290, 250))[:, ::-1]
    assert ((field[tuple(places.T)] * away).sum(axis=1) > 0).all()
    assert found.points.normals is not None
    assert np.abs(field[middle == 2][:, 0]).min() > 0.99


def test_results_do_not_depend_on_slabs_in_files(mask: Path, tmp_path: Path) -> None:
    """In slabs of nine planes, numbers and points are the same, and vectors to a thousandth."""
    one, other = run(mask, tmp_path / "a"), run(mask, tmp_path / "b", planes=9)
    for name in FILES[:2]:
        assert np.array_equal(mrcfile.read(tmp_path / "a" / name), mrcfile.read(tmp_path / "b" / name))
    np.testing.assert_allclose(one.points.positions, other.points.positions, atol=1e-3)
    fields = [nrrd.read(str(tmp_path / folder / "normals.nrrd"))[0] for folder in "ab"]
    np.testing.assert_allclose(fields[0], fields[1], atol=1e-3)


def test_components_beyond_the_last_number_are_left_out(
    mask: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are more components than a mask can number, the largest keep theirs."""
    monkeypatch.setattr(traced, "LABELS_MAX", 1)
    run(mask, tmp_path / "a")
    assert mrcfile.read(tmp_path / "a" / "instances.mrc").max() == 1


def test_a_walk_that_is_stopped_leaves_no_files(mask: Path, tmp_path: Path) -> None:
    """An exception from the progress callback propagates, and no file is left."""

    def stop(_fraction: float) -> None:
        raise InterruptedError

    with open_volume(mask) as volume:
        instances = find_instances(LabelSource.of_volume(volume))
        files = MembraneFiles(*(tmp_path / name for name in FILES))
        with pytest.raises(InterruptedError):
            trace_membranes(instances, volume, files, progress=stop)
    assert list(tmp_path.iterdir()) == [mask]
