"""Watching a folder: the real command, in this process and in processes that are killed."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from benchmarks import watch_folder
from cryomamba.testing import Stack, wait_until
from cryomamba.volumes import inspect, is_own_result
from cryomamba_cli.batch.work_folder import WorkFolder

Cli = Callable[..., Result]


@pytest.fixture
def folder(tomogram: Path, tmp_path: Path) -> Path:
    """Two tomograms, one of them in a subfolder."""
    folder = tmp_path / "in"
    (folder / "grid1").mkdir(parents=True)
    shutil.copy(tomogram, folder / "a.mrc")
    shutil.copy(tomogram, folder / "grid1" / "b.rec")
    return folder


def watch(cli: Cli, *options: object) -> Result:
    quick = ("--once", "--poll", "0.05", "--stable", "0", "--stalled", "0")
    return cli("watch-folder", "in", "-e", "threshold", *quick, *options)


def rows(results: str) -> dict[str, dict[str, str]]:
    with Path(results, "summary.csv").open(newline="", encoding="utf-8") as file:
        return {row["tomogram"]: row for row in csv.DictReader(file)}


def states(results: str = "out") -> dict[str, str]:
    return {name: row["state"] for name, row in rows(results).items()}


def test_results_get_the_same_subfolders(cli: Cli, folder: Path) -> None:
    """Each tomogram has a mask, a picture, a movie and a record; nothing else is left."""
    assert watch(cli, "-o", "out").exit_code == 0
    found = sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*") if path.is_file())
    names = [f"{base}__threshold{end}" for base in ("a", "grid1/b") for end in (".apng", ".mrc", ".mrc.json", ".png")]
    assert found == sorted([".cryomamba/lock", "report.html", "summary.csv", *names])
    record = json.loads(Path("out/grid1/b__threshold.mrc.json").read_bytes())
    assert (record["tomogram"], record["state"]) == ("grid1/b.rec", "done")
    assert record["labels"][0]["voxels"] > 0
    assert is_own_result(inspect("out/a__threshold.mrc").labels)


def test_results_beside_the_tomograms_are_no_tomograms(cli: Cli, folder: Path) -> None:
    """Also the second time, when they are there from the beginning."""
    for _ in range(2):
        assert watch(cli, "--no-pictures").exit_code == 0
        assert states("in") == {"a.mrc": "done", "grid1/b.rec": "done"}
    assert sorted(path.name for path in folder.glob("*.mrc")) == ["a.mrc", "a__threshold.mrc"]


def test_what_is_done_is_skipped_by_content(cli: Cli, folder: Path) -> None:
    """A new date changes nothing; new content and new parameters do."""
    assert watch(cli, "-o", "out").exit_code == 0

    def ended() -> dict[str, str]:
        return {name: row["ended_at"] for name, row in rows("out").items()}

    mask, first = Path("out/a__threshold.mrc"), ended()
    inode = mask.stat().st_ino
    os.utime(folder / "a.mrc", (1, 1))
    assert watch(cli, "-o", "out").exit_code == 0
    assert (ended(), mask.stat().st_ino) == (first, inode)
    raw = bytearray((folder / "a.mrc").read_bytes())
    raw[-4:] = bytes(4)
    (folder / "a.mrc").write_bytes(raw)
    assert watch(cli, "-o", "out").exit_code == 0
    assert mask.stat().st_ino != inode
    inode = mask.stat().st_ino
    assert watch(cli, "-o", "out", "-p", "sigma_A=12").exit_code == 0
    assert mask.stat().st_ino != inode


def test_a_broken_tomogram_is_named_and_tried_again_when_it_changes(cli: Cli, folder: Path, tomogram: Path) -> None:
    """It is not tried again while it is the same, unless that is asked for."""
    (folder / "a.mrc").write_bytes(tomogram.read_bytes()[:5000])
    done = watch(cli, "-o", "out")
    assert done.exit_code == 1
    assert "a.mrc: failed: The file is truncated" in done.stderr
    assert states() == {"a.mrc": "failed", "grid1/b.rec": "done"}
    assert "a.mrc" not in watch(cli, "-o", "out").stderr
    assert "a.mrc: failed" in watch(cli, "-o", "out", "--retry-failed").stderr
    shutil.copy(tomogram, folder / "a.mrc")
    assert watch(cli, "-o", "out").exit_code == 0
    assert set(states().values()) == {"done"}


def test_two_tomograms_with_one_mask(cli: Cli, folder: Path) -> None:
    """The second fails with a hint, now and in the next run, and does not disturb the first."""
    shutil.copy(folder / "a.mrc", folder / "a.rec")
    for _ in range(2):
        assert watch(cli, "-o", "out").exit_code == 1
        assert states() == {"a.mrc": "done", "a.rec": "failed", "grid1/b.rec": "done"}
        assert "replace that of 'a.mrc'" in rows("out")["a.rec"]["error"]


def test_one_session_at_a_time(cli: Cli, folder: Path) -> None:
    """A second one for the same results is refused, with exit code 6."""
    Path("out").mkdir()
    with WorkFolder(Path("out")):
        refused = watch(cli, "-o", "out")
    assert refused.exit_code == 6
    assert "Another program" in refused.stderr


def test_files_of_others_are_not_replaced(cli: Cli, folder: Path) -> None:
    """A mask that was not made here fails its own tomogram only."""
    Path("out").mkdir()
    Path("out/a__threshold.mrc").write_bytes(b"mine")
    assert watch(cli, "-o", "out").exit_code == 1
    assert states() == {"a.mrc": "failed", "grid1/b.rec": "done"}
    assert Path("out/a__threshold.mrc").read_bytes() == b"mine"


def test_a_folder_that_does_not_exist_is_refused(cli: Cli) -> None:
    """With exit code 2 and nothing written."""
    assert watch(cli, "-o", "out").exit_code == 2
    assert not Path("out").exists()


@pytest.mark.slow
def test_sigterm_ends_it(cli: Cli, folder: Path) -> None:
    """It ends with the exit code of a signal, all results are complete, and the lock is free."""
    command = [sys.executable, "-m", "cryomamba_cli", "watch-folder", "in", "-o", "out", "-e", "threshold"]
    process = subprocess.Popen([*command, "--poll", "0.05", "--stable", "0"], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: watch_folder.records(Path("out")) == 2)
    process.send_signal(signal.SIGTERM)
    _, printed = process.communicate()
    assert process.returncode == 143
    assert "2 done" in printed
    assert watch(cli, "-o", "out").exit_code == 0


@pytest.mark.slow
def test_killed_again_and_again(tmp_path: Path) -> None:
    """Each tomogram is processed once, the broken ones are named, and nothing is half-written or left behind."""
    outcome = watch_folder.run(tmp_path, tomograms=16, broken=5, kills=3, seed=3)
    assert outcome.problems == []
    assert outcome.kills == 3
    assert max(outcome.ends.values()) == 1


@pytest.mark.system
def test_on_a_server(cli: Cli, server: Stack, tomogram: Path) -> None:
    """Tomograms are submitted, their masks come back, and the second time nothing is submitted."""
    source = server.home.parent / "in"
    source.mkdir()
    for name in ("a.mrc", "b.mrc"):
        shutil.copy(tomogram, source / name)
    quick = ("--once", "--poll", "0.05", "--stable", "0", "--server", server.http_url)
    for _ in range(2):
        done = cli("watch-folder", source, "-o", "out", "-e", "threshold", *quick)
        assert done.exit_code == 0, done.stderr
        assert set(states().values()) == {"done"}
    assert len(json.loads(cli("jobs", "--server", server.http_url, "--json").stdout)) == 2
    assert json.loads(Path("out/a__threshold.mrc.json").read_bytes())["job_id"]
