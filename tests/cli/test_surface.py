"""``surface`` on a mask."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile
from typer.testing import Result

from cryomamba.picks import read_csv
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.testing import Stack
from cryomamba.volumes import MaskWriter, blank_header, write_volume

Cli = Callable[..., Result]


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """A vesicle of 150 Å radius and 45 Å thickness, voxels of 10 Å."""
    z, y, x = np.ogrid[0:40, 0:40, 0:40]
    distance = np.sqrt((z - 19.6) ** 2 + (y - 19.4) ** 2 + (x - 20.1) ** 2)
    path = tmp_path / "t1__membrane.mrc"
    with MaskWriter(path, blank_header((40, 40, 40), 10.0), labels=1, engine="test") as writer:
        writer.write(0, 0, 0, (np.abs(distance - 15) <= 2.25).astype(np.uint8))
    return path


def test_surface_prints_areas_and_writes_files(cli: Cli, mask: Path, tmp_path: Path) -> None:
    """The table lists the component; the extension gives the format of each file; points have the tomogram's name."""
    done = cli("surface", mask, "-o", "m.mrc", "-o", "p.star", "-o", "p.csv", "-o", "n.nrrd", "--spacing", 60)
    assert done.exit_code == 0, done.stderr
    assert "component 1" in done.stdout
    assert done.stdout.split()[-4:] == ["m.mrc", "p.star", "p.csv", "n.nrrd"]
    surface = mrcfile.read(tmp_path / "m.mrc")
    assert 0 < (surface > 0).sum() < (mrcfile.read(mask) > 0).sum() / 3
    star = starfile.read(tmp_path / "p.star")
    assert star["rlnTomoName"].unique().tolist() == ["t1"]
    assert (star["rlnAngleTiltPrior"] == 90).all()
    picks = read_csv(tmp_path / "p.csv")
    assert len(picks) == len(star) > 30
    assert picks.normals is not None
    assert ((picks.positions - (19.6, 19.4, 20.1)) * picks.normals).sum(axis=1).min() > 13


def test_surface_prints_json(cli: Cli, mask: Path) -> None:
    """It has thickness and areas, without writing a file."""
    fields = json.loads(cli("surface", mask, "--json").stdout)
    assert fields["thickness_A"] == pytest.approx(45, abs=6)
    assert fields["instances"][0]["medial_surface_nm2"] == pytest.approx(4 * np.pi * 15**2, rel=0.05)
    assert fields["files"] == []


def test_output_paths_are_checked_first(cli: Cli, mask: Path, tmp_path: Path) -> None:
    """Unknown formats, the same format twice, and existing files are refused."""
    assert cli("surface", mask, "-o", "p.txt").exit_code == 2
    assert cli("surface", mask, "-o", "a.mrc", "-o", "b.mrc").exit_code == 2
    (tmp_path / "p.csv").touch()
    assert cli("surface", mask, "-o", "p.csv").exit_code == 6


def test_a_server_writes_the_same_files(cli: Cli, server: Stack) -> None:
    """Instances and points of a job on a server are downloaded, and equal those of a local run."""
    folder = server.home.parent
    phantom = synthesize(PhantomSpec(shape=(48, 96, 96), voxel_size_A=14.0, seed=3, noise=0.5))
    write_volume(folder / "m.mrc", phantom.density, phantom.voxel_size_A)
    options = ("-e", "membrane", "-p", "instances=true", "-p", "point_spacing_A=120", "--format", "star")
    here = cli("segment", folder / "m.mrc", "-o", "here.mrc", *options)
    there = cli("segment", folder / "m.mrc", "-o", "there.mrc", *options, "--server", server.http_url)
    assert (here.exit_code, there.exit_code) == (0, 0), here.stderr + there.stderr
    assert there.stdout.split() == ["there.mrc", "there_instances.mrc", "there.csv", "there.star"]
    assert "medial surface" in there.stderr
    for ending in (".mrc", "_instances.mrc", ".csv", ".star"):
        assert Path("here" + ending).read_bytes() == Path("there" + ending).read_bytes(), ending
