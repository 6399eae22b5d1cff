"""``measure``, ``clean`` and ``export``: post-processing of masks."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import mrcfile
import nibabel
import nrrd
import numpy as np
import pytest
import tifffile
import zarr
from tests import mask_flavours
from typer.testing import Result

from cryomamba.picks import Picks, TomogramInfo, read_csv, write_picks
from cryomamba.volumes import MaskWriter, blank_header, write_volume

Cli = Callable[..., Result]


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """A hollow box of label 1, a block of label 2 and a speck of label 1; voxels of 20, 10, 10 Å."""
    labels = np.zeros((16, 20, 24), np.uint8)
    labels[2:12, 2:14, 2:14] = 1
    labels[4:10, 4:12, 4:12] = 0
    labels[4:8, 4:8, 17:21] = 2
    labels[14, 18, 22] = 1
    path = tmp_path / "mask.mrc"
    with MaskWriter(path, blank_header(labels.shape, (20.0, 10.0, 10.0)), labels=2, engine="test") as writer:
        writer.write(0, 0, 0, labels)
    return path


def test_names_of_labels_stay_with_a_mask(cli: Cli, tmp_path: Path) -> None:
    """A mask has the names of its labels, also after cleaning; numbered components have none."""
    labels = np.zeros((8, 12, 12), np.uint8)
    labels[2:6, 2:6, 2:6], labels[2:6, 8:10, 8:10] = 1, 2
    names = {1: "membrane", 2: "vesicle"}
    with MaskWriter(tmp_path / "m.mrc", blank_header(labels.shape, 10.0), labels=2, engine="x", names=names) as writer:
        writer.write(0, 0, 0, labels)
    assert cli("clean", "m.mrc", "-o", "clean.mrc", "--min-volume", "1").exit_code == 0
    assert cli("clean", "clean.mrc", "-o", "numbered.mrc", "--number").exit_code == 0
    for name, expected in (
        ("m", ["membrane", "vesicle"]),
        ("clean", ["membrane", "vesicle"]),
        ("numbered", ["label 1", "label 2"]),
    ):
        fields = json.loads(cli("measure", f"{name}.mrc", "--json", "--no-shape").stdout)
        assert [label["name"] for label in fields["labels"]] == expected


def read(path: Path) -> np.ndarray:
    with mrcfile.open(path) as file:
        return np.array(file.data)


def test_measure(cli: Cli, mask: Path, tmp_path: Path) -> None:
    """The table shows labels and components; CSV and JSON have all of them."""
    done = cli("measure", mask, "--csv", "m.csv")
    assert done.exit_code == 0, done.stderr
    assert "label 2" in done.stdout
    assert "component 3" in done.stdout
    with (tmp_path / "m.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 5
    fields = json.loads(cli("measure", mask, "--json").stdout)
    assert [label["instances"] for label in fields["labels"]] == [2, 1]
    assert fields["instances"][1]["volume_nm3"] == pytest.approx(64 * 2)
    assert fields["surface_method"]
    assert cli("measure", mask, "--csv", "m.csv").exit_code == 6
    quick = json.loads(cli("measure", mask, "--json", "--no-shape").stdout)
    assert quick["labels"][0]["surface_nm2"] is None


def test_clean(cli: Cli, mask: Path, tmp_path: Path) -> None:
    """Small components are removed, holes filled, components labelled; voxel size and origin are kept."""
    before = read(mask)
    done = cli("clean", mask, "-o", "a.mrc", "--min-volume", "4", "--fill-holes")
    assert done.exit_code == 0, done.stderr
    expected = before.copy()
    expected[14, 18, 22], expected[4:10, 4:12, 4:12] = 0, 1
    assert np.array_equal(read(tmp_path / "a.mrc"), expected)
    assert cli("clean", mask, "-o", "b.mrc", "--keep", "2", "--number").exit_code == 0
    assert np.array_equal(read(tmp_path / "b.mrc"), (before == 2).astype(np.uint16))
    assert cli("clean", mask, "-o", "c.mrc", "--split").exit_code == 0
    assert np.unique(read(tmp_path / "c.mrc")).tolist() == [0, 1, 2, 3]
    with mrcfile.open(tmp_path / "c.mrc") as file:
        assert (file.voxel_size.z, file.voxel_size.x) == (20, 10)
    assert cli("clean", mask, "-o", "d.mrc").exit_code == 2
    assert cli("clean", mask, "-o", "d.mrc", "--keep", "9").exit_code == 3
    assert not (tmp_path / "d.mrc").exists()


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "tif", "ome.zarr", "mrc"])
def test_export(cli: Cli, mask: Path, tmp_path: Path, ending: str) -> None:
    """Each format, read by its own library, has the mask, or one label of it as 1."""
    readers: dict[str, Callable[[Path], np.ndarray]] = {
        "nii.gz": lambda path: np.asarray(nibabel.Nifti1Image.from_filename(path).dataobj).T,
        "nrrd": lambda path: nrrd.read(str(path))[0].T,
        "tif": tifffile.imread,
        "ome.zarr": lambda path: np.asarray(zarr.open_group(path, mode="r")["0"][:]),  # type: ignore[index]
        "mrc": read,
    }
    for options, expected in (((), read(mask)), (("--label", 2), (read(mask) == 2).astype(np.uint8))):
        done = cli("export", mask, "-o", f"out.{ending}", "--force", *options)
        assert done.exit_code == 0, done.stderr
        assert np.array_equal(readers[ending](tmp_path / f"out.{ending}"), expected)
    assert cli("export", mask, "-o", f"out.{ending}").exit_code in {2, 6}


def test_export_refuses_unknown_formats(cli: Cli, mask: Path, tmp_path: Path) -> None:
    """Meshes are written; an unknown format, and a mesh of a tomogram, are refused."""
    assert cli("export", mask, "-o", "a.stl").exit_code == 0
    assert cli("export", mask, "-o", "a.obj", "--label", 2).exit_code == 0
    refused = cli("export", mask, "-o", "a.xyz")
    assert refused.exit_code == 2
    assert ".ome.zarr" in refused.stderr
    write_volume(tmp_path / "density.mrc", np.full((4, 4, 4), 0.5, np.float32), 10.0)
    assert cli("export", "density.mrc", "-o", "b.stl").exit_code == 5
    assert not (tmp_path / "b.stl").exists()


@pytest.mark.parametrize("flavour", ["IMOD's signed bytes", "IMOD's unsigned bytes", "whole 32-bit floats"])
def test_masks_of_other_programs(cli: Cli, tmp_path: Path, flavour: str) -> None:
    """``measure`` and ``clean`` find the labels that the program meant, ``threshold`` takes no mask."""
    mask_flavours.write(tmp_path / "m.mrc", flavour)
    expected = mask_flavours.expected(flavour)
    measured = json.loads(cli("measure", "m.mrc", "--no-shape", "--json").stdout)
    assert [row["label"] for row in measured["labels"]] == np.unique(expected)[1:].tolist()
    assert cli("clean", "m.mrc", "-o", "c.mrc", "--min-volume", 0.5).exit_code == 0
    assert np.array_equal(mrcfile.read(tmp_path / "c.mrc"), expected)


def test_a_score_map_that_imod_stored(cli: Cli, tmp_path: Path) -> None:
    """``threshold`` reads the scores that were meant, and refuses probabilities with what to do."""
    mask_flavours.write(tmp_path / "s.mrc", "scores: IMOD's signed bytes")
    assert cli("threshold", "s.mrc", "--high", 200, "-o", "m.mrc").exit_code == 0
    assert np.array_equal(mrcfile.read(tmp_path / "m.mrc"), mask_flavours.scores() >= 200)
    mask_flavours.write(tmp_path / "p.mrc", "scores: probabilities")
    refused = cli("threshold", "p.mrc", "--high", 200, "-o", "n.mrc")
    assert refused.exit_code == 5
    assert "Multiply it by 255" in refused.stderr


def test_labels_below_zero_are_dropped_on_request(cli: Cli, tmp_path: Path) -> None:
    """``measure`` refuses them and names the command that makes them background."""
    mask_flavours.write(tmp_path / "m.mrc", "-1 for voxels to ignore")
    refused = cli("measure", "m.mrc")
    assert refused.exit_code == 5
    assert "--drop-negative" in refused.stderr
    assert cli("clean", "m.mrc", "-o", "c.mrc", "--drop-negative").exit_code == 0
    stored, _ = mask_flavours.REFUSED["-1 for voxels to ignore"]
    assert np.array_equal(mrcfile.read(tmp_path / "c.mrc"), np.maximum(stored, 0))


def test_picks_go_from_format_to_format(cli: Cli, mask: Path, tmp_path: Path) -> None:
    """CSV, both dialects of RELION and IMOD models keep the places; what is no table of picks is refused."""
    places = np.array([[1.0, 2.0, 3.0], [8.5, 9.25, 20.0]])
    frame = TomogramInfo((16, 20, 24), (20.0, 10.0, 10.0), "mask")
    write_picks(Picks(places, np.array([90.0, 60.0]), np.array([1, 2])), tmp_path / "p.csv", frame)
    reference = ("--tomogram", mask)
    assert cli("export", "p.csv", "-o", "p4.star", "--relion", 4, *reference).exit_code == 0
    assert cli("export", "p.csv", "-o", "warp.star", "--warp", *reference).exit_code == 0
    assert ".tomostar " in Path("warp.star").read_text()
    assert "_rlnCoordinateX" in (tmp_path / "p4.star").read_text()
    for source, target in (("p4.star", "p.mod"), ("p.mod", "p5.star"), ("p5.star", "again.csv")):
        done = cli("export", source, "-o", target, *reference)
        assert done.exit_code == 0, done.stderr
    np.testing.assert_allclose(read_csv(tmp_path / "again.csv").positions, places, atol=1e-3)
    (tmp_path / "broken.mod").write_text("nothing")
    refused = cli("export", "broken.mod", "-o", "x.csv", *reference)
    assert refused.exit_code == 2
    assert "not a binary IMOD model" in refused.stderr
