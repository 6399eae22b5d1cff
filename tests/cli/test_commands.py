"""Commands that need no server."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import mrcfile
import numpy as np
import pytest
from typer.main import get_command
from typer.testing import Result

from cryomamba import __version__
from cryomamba.models.jobs import JobState
from cryomamba.picks import read_csv
from cryomamba.testing import free_ports
from cryomamba.volumes import open_volume
from cryomamba_cli.app import app
from cryomamba_cli.jobs import State

Cli = Callable[..., Result]
COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


def test_version(cli: Cli) -> None:
    """``--version`` says which release this is."""
    assert cli("--version").stdout == f"cryomamba {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, cli: Cli) -> None:
    """``--help`` ends well, says what the command does, and shows an example of it."""
    shown = cli(command, "--help")
    assert shown.exit_code == 0
    assert f"cryomamba {command}" in shown.stdout


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("segment",), ("segment", "a.mrc", "--nonsense"), ("jobs", "-n", "0")]
)
def test_a_wrong_command_line_ends_with_2(arguments: tuple[str, ...], cli: Cli) -> None:
    """An unknown command or option, a missing argument and a value out of range are usage errors."""
    done = cli(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""


def test_states_are_those_that_jobs_have() -> None:
    """``jobs --state`` takes every state, named without importing the records."""
    assert set(get_args(State)) == {str(state) for state in JobState}


def test_synth_writes_a_tomogram_and_its_truth(cli: Cli, tmp_path: Path) -> None:
    """Both files open without a warning, lie on each other, and the truth holds what is said."""
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


def test_synth_writes_where_particles_and_filaments_are(cli: Cli, tmp_path: Path) -> None:
    """The tables hold the places whose voxels the truth labels, a filament's points with its number."""
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
    """The same seed gives the same bytes; a file in the way is refused."""
    arguments = ("synth", "p.mrc", "--shape", "16", "--seed", "4")
    assert cli(*arguments).exit_code == 0
    first = (tmp_path / "p.mrc").read_bytes()
    refused = cli(*arguments)
    assert refused.exit_code == 6
    assert "exists already" in refused.stderr
    assert cli(*arguments, "--force").exit_code == 0
    assert (tmp_path / "p.mrc").read_bytes()[1024:] == first[1024:]


@pytest.mark.parametrize(
    ("arguments", "said"),
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
def test_synth_says_what_does_not_fit(arguments: tuple[str, ...], said: str, cli: Cli, tmp_path: Path) -> None:
    """A wrong recipe is an error that names the field, and nothing is written."""
    done = cli("synth", "p.mrc", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not list(tmp_path.glob("*.mrc"))


def test_info_shows_header_and_statistics(cli: Cli, tomogram: Path) -> None:
    """Shape, voxel size and statistics are those of the voxels, in text and in JSON."""
    with open_volume(tomogram) as volume:
        voxels = volume.read(slice(None), slice(None), slice(None)).astype(np.float64)
    fields = json.loads(cli("info", tomogram, "--json").stdout)
    assert fields["shape"] == [24, 24, 24]
    assert fields["voxel_size_A"] == [10, 10, 10]
    assert fields["statistics"]["mean"] == pytest.approx(voxels.mean(), rel=1e-6)
    assert fields["statistics"]["std"] == pytest.approx(voxels.std(), rel=1e-6)
    text = cli("info", tomogram).stdout
    assert "24 × 24 × 24 voxels" in text
    assert f"{voxels.min():.6g}" in text


def test_info_warns_and_takes_a_voxel_size(cli: Cli, tmp_path: Path) -> None:
    """A header without a voxel size is warned of, unless one is given."""
    with mrcfile.new(tmp_path / "bare.mrc", np.zeros((8, 8, 8), np.float32)) as file:
        file.header.cella = (0, 0, 0)
    bare = cli("info", "bare.mrc", "--no-statistics")
    assert "warning:" in bare.stdout
    assert "minimum" not in bare.stdout
    told = json.loads(cli("info", "bare.mrc", "--voxel-size", "4,2,2", "--json").stdout)
    assert told["voxel_size_A"] == [4, 2, 2]


def test_info_of_what_is_no_volume(cli: Cli, tmp_path: Path) -> None:
    """Missing and foreign files end with 5 and a hint."""
    (tmp_path / "letter.mrc").write_text("Dear colleague, " * 200)
    for name in ("missing.mrc", "letter.mrc"):
        done = cli("info", name)
        assert done.exit_code == 5
        assert done.stdout == ""
        assert "hint:" in done.stderr


def test_engines_lists_and_describes(cli: Cli) -> None:
    """The list names each engine, a single one shows parameters with unit, default and bounds."""
    names = [info["name"] for info in json.loads(cli("engines", "--json").stdout)]
    assert {"demo", "threshold"} <= set(names)
    listed = cli("engines").stdout
    assert all(name in listed for name in names)
    row = next(line for line in cli("engines", "threshold").stdout.splitlines() if line.startswith("sigma_A"))
    assert "Å" in row
    assert "≥ 0" in row
    unknown = cli("engines", "nonsense")
    assert unknown.exit_code == 2
    assert "threshold" in unknown.stderr


def test_doctor_looks_at_everything(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sound environment nothing fails, and services that do not run are a warning."""
    jobs, gateway = free_ports(2)
    monkeypatch.setenv("CRYOMAMBA_BUS_JOBS", f"tcp://127.0.0.1:{jobs}")
    monkeypatch.setenv("CRYOMAMBA_GATEWAY_PORT", str(gateway))
    monkeypatch.setenv("CRYOMAMBA_ROOTS", str(tmp_path))
    done = cli("doctor", "--json")
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert done.exit_code == (1 if findings["disk"]["level"] == "fail" else 0)
    assert {"version", "packages", "home", "disk", "root", "broker", "gateway", "engine", "gpu"} <= set(findings)
    assert findings["broker"]["level"] == findings["gateway"]["level"] == "warn"
    assert findings["home"]["level"] == "ok"
    assert str(tmp_path) in findings["root"]["message"]


def test_doctor_fails_where_something_is_broken(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that does not fit, and a server that does not answer, are failures with a hint."""
    monkeypatch.setenv("CRYOMAMBA_GATEWAY_PORT", "many")
    (port,) = free_ports(1)
    done = cli("doctor", "--server", f"http://127.0.0.1:{port}")
    assert done.exit_code == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("fail")]
    assert any("CRYOMAMBA_GATEWAY_PORT" in line for line in failed)
    assert any("server" in line for line in failed)


def test_desktop_says_what_to_install(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no package offers the desktop, the hint tells how to get it."""
    monkeypatch.setitem(sys.modules, "napari_cryomamba.__main__", None)
    done = cli("desktop")
    assert done.exit_code == 2
    assert "cryomamba[desktop]" in done.stderr


def test_a_server_that_is_away_ends_with_4(cli: Cli) -> None:
    """Nobody listening is told in a sentence with a hint."""
    (port,) = free_ports(1)
    done = cli("jobs", "--server", f"http://127.0.0.1:{port}")
    assert done.exit_code == 4
    assert "hint:" in done.stderr


def test_a_server_address_must_be_one(cli: Cli) -> None:
    """Another scheme is a usage error."""
    assert cli("jobs", "--server", "ftp://lab").exit_code == 2


def test_a_defect_is_told_without_a_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unforeseen exception ends with 70 and a sentence; with CRYOMAMBA_LOG=debug the traceback comes as well."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("cryomamba.volumes.inspect", broken)
    done = cli("info", "x.mrc")
    assert done.exit_code == 70
    assert "ZeroDivisionError: oops" in done.stderr
    assert "Traceback" not in done.stderr
    monkeypatch.setenv("CRYOMAMBA_LOG", "debug")
    assert "Traceback" in cli("info", "x.mrc").stderr


def test_a_file_that_cannot_be_written_is_told(cli: Cli, tmp_path: Path) -> None:
    """An error of the system names the file."""
    (tmp_path / "file").touch()
    done = cli("demo", "--out", "file")
    assert done.exit_code == 2
    assert "'file'" in done.stderr
