"""Outputs of all commands: never onto an input, never in another format than the name says, refused before the work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import write_ball
from typer.testing import Result

from cryomamba.picks import Picks, TomogramInfo, write_csv
from cryomamba.volumes import MaskWriter, blank_header

Cli = Callable[..., Result]

SIDE = 12
# Each command with the file that it reads; "OUT" is what it would write.
COMMANDS = {
    "segment": ("segment", "ball.mrc", "-e", "threshold", "-o", "OUT"),
    "threshold": ("threshold", "scores.mrc", "--high", "9", "-o", "OUT"),
    "clean": ("clean", "mask.mrc", "--fill-holes", "-o", "OUT"),
    "export": ("export", "mask.mrc", "-o", "OUT"),
    "export picks": ("export", "mask.csv", "-o", "OUT"),
    "measure": ("measure", "mask.mrc", "--csv", "OUT"),
    "surface": ("surface", "mask.mrc", "-o", "OUT"),
    "synth": ("synth", "OUT", "--shape", "32"),
    "synth truth": ("synth", "phantom.mrc", "--shape", "32", "--truth", "OUT"),
}
READS = {name: command for name, command in COMMANDS.items() if command[0] != "synth"}
EXTENSIONS = {"measure": ".csv", "export picks": ".csv"}


def test_formats_of_picks_need_picks(cli: Cli, tmp_path: Path) -> None:
    """A format for picks is refused, not ignored, if the engine has none and no parameter asks for points."""
    write_ball(tmp_path / "ball.mrc", SIDE)
    refused = cli("segment", str(tmp_path / "ball.mrc"), "-e", "threshold", "--format", "star")
    assert refused.exit_code == 2
    assert "There are no picks to write as 'star'." in refused.stderr


@pytest.fixture
def folder(tmp_path: Path, cli: Cli) -> Path:
    """A folder with a file for each command."""
    write_ball(tmp_path / "ball.mrc", SIDE)
    header = blank_header((SIDE,) * 3, (10.0,) * 3)
    for name, what in (("mask.mrc", "mask"), ("scores.mrc", "scores")):
        with MaskWriter(tmp_path / name, header, labels=200, engine="test", what=what) as writer:
            writer.write(2, 2, 2, np.ones((6, 6, 6), np.uint16))
    picks = Picks(np.full((2, 3), 4.0), np.ones(2), np.ones(2, np.int64))
    write_csv(picks, tmp_path / "mask.csv", TomogramInfo((SIDE,) * 3, (10.0,) * 3, "mask"))
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(cli: Cli, command: tuple[str, ...], out: str, *more: str) -> Result:
    return cli(*(out if word == "OUT" else word for word in command), *more)


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("force", [False, True])
def test_no_command_writes_onto_its_input(cli: Cli, folder: Path, name: str, force: bool) -> None:
    """With or without --force, by the same name, another spelling, a symbolic link or a hard link: exit code 2."""
    command, extension = READS[name], EXTENSIONS.get(name, ".mrc")
    source = folder / command[1]
    if name == "measure":
        # The table has another format than the mask, so only a link can lead to it.
        names = []
    else:
        names = [source.name, f"{folder.name}/../{source.name}", str(source)]
        (folder / folder.name).mkdir()
    (folder / f"symbolic{extension}").symlink_to(source)
    (folder / f"hard{extension}").hardlink_to(source)
    before = contents(folder)
    for out in (*names, f"symbolic{extension}", f"hard{extension}"):
        done = run(cli, command, out, *(["--force"] if force else []))
        assert done.exit_code == 2, (out, done.stderr)
        assert "input" in done.stderr
    assert contents(folder) == before


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("out", ["x.nii.gzip", "x.mrc.gz", "x", "x.jpg", ".mrc"])
def test_the_format_follows_the_extension_or_is_refused(cli: Cli, folder: Path, name: str, out: str) -> None:
    """An extension for which there is no writer is refused with exit code 2; nothing is written under it."""
    before = contents(folder)
    done = run(cli, COMMANDS[name], out)
    assert done.exit_code == 2, done.stderr
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["synth", "synth truth"])
def test_no_mrc_file_is_written_under_another_name(cli: Cli, folder: Path, name: str) -> None:
    """Commands that write MRC alone refuse the names of other formats, and say which command converts."""
    done = run(cli, COMMANDS[name], "out.nii.gz")
    assert done.exit_code == 2
    assert "export" in done.stderr
    assert not (folder / "out.nii.gz").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_name_with_a_slash_at_its_end_is_a_folder(cli: Cli, folder: Path, name: str) -> None:
    """A command that names its results itself makes the folder; the others refuse it, and make no file of that name."""
    extension = EXTENSIONS.get(name, ".mrc")
    before = contents(folder)
    done = run(cli, COMMANDS[name], f"new{extension}/")
    assert not (folder / f"new{extension}").is_file()
    if name in {"segment", "threshold"}:
        assert done.exit_code == 0, done.stderr
        feature = "ball__threshold" if name == "segment" else "scores__threshold9"
        assert (folder / f"new{extension}" / f"{feature}.mrc").is_file()
    else:
        assert done.exit_code == 2
        assert "folder" in done.stderr
        assert contents(folder) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_places_that_cannot_be_written_are_named_before_the_work(cli: Cli, folder: Path, name: str) -> None:
    """A missing folder, a file in place of a folder, and a folder that takes no files: exit code 2, nothing is left."""
    extension = EXTENSIONS.get(name, ".mrc")
    before = contents(folder)
    for place in ("missing", "mask.mrc", "/proc"):
        done = run(cli, COMMANDS[name], f"{place}/out{extension}")
        assert done.exit_code == 2, done.stderr
        assert f"{place}/out{extension}" in done.stderr
    assert contents(folder) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_existing_files_are_a_conflict(cli: Cli, folder: Path, name: str) -> None:
    """Exit code 6 without --force; a folder of that name is refused with exit code 2, whatever the options."""
    extension = EXTENSIONS.get(name, ".mrc")
    (folder / f"mine{extension}").write_text("mine")
    done = run(cli, COMMANDS[name], f"mine{extension}")
    assert done.exit_code == 6
    assert "--force" in done.stderr
    (folder / f"full{extension}" / "sub").mkdir(parents=True)
    if name not in {"segment", "threshold"}:
        assert run(cli, COMMANDS[name], f"full{extension}", "--force").exit_code == 2
    assert (folder / f"mine{extension}").read_text() == "mine"


def test_force_replaces_only_a_folder_that_export_has_written(cli: Cli, folder: Path) -> None:
    """An OME-Zarr is replaced; one with a file of somebody else is refused by that file's name."""
    export = ("export", "mask.mrc", "-o", "m.ome.zarr/", "--force")
    for _ in range(2):
        assert cli(*export).exit_code == 0
    (folder / "m.ome.zarr" / "thesis.txt").write_text("mine")
    done = cli(*export)
    assert done.exit_code == 2
    assert "thesis.txt" in done.stderr
    assert (folder / "m.ome.zarr" / "thesis.txt").read_text() == "mine"


def test_a_batch_writes_onto_none_of_its_tomograms(cli: Cli, folder: Path) -> None:
    """A mask that would have the name of another tomogram of the batch is refused before anything is done."""
    other = write_ball(folder / "ball__threshold.mrc", SIDE)
    before = contents(folder)
    done = cli("segment", "ball.mrc", other.name, "--out-dir", ".", "-e", "threshold", "--force")
    assert done.exit_code == 2
    assert other.name in done.stderr
    assert contents(folder) == before


def test_a_batch_leaves_the_files_of_others_alone(cli: Cli, folder: Path) -> None:
    """Another summary.csv is a conflict; other files under the names of results fail their tomogram alone."""
    batch = ("segment", "ball.mrc", "--out-dir", ".", "-e", "threshold", "--nrrd")
    (folder / "summary.csv").write_text("date,money\n")
    assert cli(*batch).exit_code == 6
    (folder / "summary.csv").unlink()
    for name in ("ball__threshold.nrrd", "ball__threshold.mrc.json"):
        (folder / name).write_text("mine")
        assert cli(*batch).exit_code == 1
        assert "was not made by this command" in (folder / "summary.csv").read_text(encoding="utf-8")
        assert (folder / name).read_text() == "mine"
        (folder / name).unlink()
    assert cli(*batch).exit_code == 0


def test_a_demo_overwrites_only_a_demo(cli: Cli, folder: Path) -> None:
    """Files under its names that are no result of a demo are a conflict, and are left as they are."""
    (folder / "stats.json").write_text("mine")
    done = cli("demo", "--out", ".", "--shape", "32")
    assert done.exit_code == 6
    assert "stats.json" in done.stderr
    assert (folder / "stats.json").read_text() == "mine"
