"""``synth``: a synthetic tomogram and its ground truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from typer.testing import Result

from cryomamba.picks import read_csv

Cli = Callable[..., Result]


def test_synth_writes_a_tomogram_and_its_ground_truth(cli: Cli, tmp_path: Path) -> None:
    """Both files open without a warning and have the same grid, and the labels have the reported voxel counts."""
    done = cli("synth", "p.mrc", "--shape", "24,32,40", "--voxel-size", "20,10,10", "-p", "vesicles=1", "--json")
    assert done.exit_code == 0
    fields = json.loads(done.stdout)
    with mrcfile.open(tmp_path / "p.mrc") as density, mrcfile.open(tmp_path / "p__truth.mrc") as truth:
        assert density.data.shape == truth.data.shape == (24, 32, 40)
        assert density.voxel_size.z == truth.voxel_size.z == 20
        labels = {int(key): name for key, name in fields["labels"].items()}
        counts = np.bincount(truth.data.reshape(-1))
        assert fields["voxels"] == {labels[label]: count for label, count in enumerate(counts) if count}
    assert fields["spec"]["vesicles"] == 1


def test_synth_writes_the_coordinates_of_particles_and_filaments(cli: Cli, tmp_path: Path) -> None:
    """The tables have coordinates inside the labels, and the points of a filament have its number."""
    spec = ("-p", "particles=4", "-p", "filaments=2", "-p", "vesicles=0", "-p", "sheets=0", "-p", "fiducials=0")
    arguments = ("synth", "p.mrc", "--shape", "32,96,96", "-p", "lamella=1", *spec)
    tables = json.loads(cli(*arguments, "--json").stdout)["picks"]
    assert set(tables) == {"particles", "filaments"}
    with mrcfile.open(tmp_path / "p__truth.mrc") as truth:
        for kind, label, labels in (("particles", 2, {1}), ("filaments", 3, {1, 2})):
            picks = read_csv(tmp_path / f"p__truth_{kind}.csv")
            nearest = np.floor(picks.positions + 0.5).astype(int)
            assert (truth.data[tuple(nearest.T)] == label).mean() > 0.9
            assert set(picks.labels.tolist()) == labels
    assert cli(*arguments).exit_code == 6
    assert json.loads(cli("synth", "bare.mrc", "--shape", "16", "--json").stdout)["picks"] == {}


def test_synth_is_repeatable_and_overwrites_only_when_forced(cli: Cli, tmp_path: Path) -> None:
    """The same seed gives the same bytes; an existing file is not overwritten unless forced."""
    arguments = ("synth", "p.mrc", "--shape", "16", "--seed", "4")
    assert cli(*arguments).exit_code == 0
    first = (tmp_path / "p.mrc").read_bytes()
    refused = cli(*arguments)
    assert refused.exit_code == 6
    assert "already exists" in refused.stderr
    assert cli(*arguments, "--force").exit_code == 0
    assert (tmp_path / "p.mrc").read_bytes()[1024:] == first[1024:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shape", "4"), "shape"),
        (("--shape", "1,2"), "--shape"),
        (("--shape", "16.5"), "whole numbers"),
        (("--voxel-size", "-3"), "--voxel-size"),
        (("-p", "noise=loud"), "noise"),
        (("-p", "nosie=1"), "Did you mean 'noise'?"),
        (("-p", "noise=1000"), "noise"),
        (("-p", "thickness_A=50,40"), "thickness_A"),
    ],
)
def test_synth_refuses_invalid_options(arguments: tuple[str, ...], message: str, cli: Cli, tmp_path: Path) -> None:
    """The error names the option or parameter, and nothing is written."""
    done = cli("synth", "p.mrc", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not list(tmp_path.glob("*.mrc"))


def test_synth_lists_the_families(cli: Cli) -> None:
    """The names come with a line each, and no file is named or written."""
    listed = cli("synth", "--list-families")
    assert listed.exit_code == 0
    assert "cristae" in listed.stdout
    assert "no membranes" in listed.stdout


def test_synth_makes_a_phantom_of_a_family(cli: Cli, tmp_path: Path) -> None:
    """A family sets the parameters that are not given, also a list of texts."""
    kinds = ("-p", "particle_kinds=ribosome,proteasome", "-p", "particles=2", "-p", "filaments=1")
    made = cli("synth", "p.mrc", "--family", "cytosol", "--shape", "40", "--voxel-size", "20", *kinds, "--json")
    assert made.exit_code == 0, made.stderr
    fields = json.loads(made.stdout)
    assert fields["spec"]["geometry"] == "none"
    assert fields["spec"]["particle_kinds"] == ["ribosome", "proteasome"]
    assert "membrane" not in fields["voxels"]
    refused = cli("synth", "q.mrc", "--family", "mitochondria")
    assert refused.exit_code == 2
    assert "cristae" in refused.stderr
    assert not (tmp_path / "q.mrc").exists()


def test_synth_draws_membranes_where_labels_are(cli: Cli, tmp_path: Path) -> None:
    """The truth is the chosen label on its own grid; contradictions and files that are no labels are refused."""
    labels = np.zeros((24, 32, 40), np.int16)
    labels[:, :, 18:22], labels[:, 4:8, 30:34] = 3, 9
    with mrcfile.new(tmp_path / "labels.mrc", labels) as file:
        file.voxel_size = 13.0
    chosen = ("--from-labels", "labels.mrc", "--label", "3")
    assert cli("synth", "p.mrc", *chosen, "-p", "noise=0.1", "-p", "fiducials=0").exit_code == 0
    with mrcfile.open(tmp_path / "p__truth.mrc") as truth, mrcfile.open(tmp_path / "p.mrc") as density:
        assert np.array_equal(truth.data == 1, labels == 3)
        assert density.voxel_size.x == pytest.approx(13)
        assert density.data[labels == 3].mean() < density.data[labels == 0].mean() - 0.2
    for arguments, message in (
        ((*chosen, "--shape", "16"), "--shape"),
        (("--from-labels", "labels.mrc", "--label", "4"), "no voxels with label 4"),
    ):
        refused = cli("synth", "q.mrc", *arguments)
        assert refused.exit_code == 2
        assert message in refused.stderr
    refused = cli("synth", "q.mrc", "--from-labels", "p.mrc")
    assert refused.exit_code == 5
    assert "p.mrc holds densities, not labels" in refused.stderr
    with mrcfile.open(tmp_path / "labels.mrc", "r+") as file:
        file.voxel_size = 0
    assert "voxel size" in cli("synth", "q.mrc", *chosen).stderr
