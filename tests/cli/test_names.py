"""Hostile and unusual names: on every terminal, in every encoding, and in batches."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.conftest import write_ball
from typer.testing import Result

import cryomamba
from cryomamba.errors import InvalidRequestError, JobFailedError
from cryomamba.models.events import ConnectionEvent
from cryomamba.picks import Picks, TomogramInfo, write_csv
from cryomamba.testing import Stack
from cryomamba_cli import output
from cryomamba_cli.reporter import BarReporter, PlainReporter

Cli = Callable[..., Result]

HOSTILE = "b\x1b[2J\r\u202ea\x07.mrc"
SHOWN = r"b\x1b[2J\r\u202ea\x07"
CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]|\xe2\x80[\xaa-\xae]|\xc2[\x80-\x9f]")
ENCODINGS: dict[str, dict[str, str]] = {
    "utf-8": {"LC_ALL": "C.UTF-8"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
}


def program(folder: Path, *arguments: str | bytes, env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Run the program as a process of its own, whose arguments may be any bytes."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("CRYOMAMBA_", "LC_", "PYTHON"))
    }
    settings = {"CRYOMAMBA_HOME": str(folder / "home"), "CRYOMAMBA_PROCESSES": "1"}
    command: list[str | bytes] = [sys.executable, "-m", "cryomamba_cli", *arguments]
    return subprocess.run(command, cwd=folder, env={**inherited, **settings, **env}, capture_output=True, check=False)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_shows_every_name(tmp_path: Path, encoding: str) -> None:
    """Names that are not UTF-8, that the encoding lacks, or that would command the terminal are shown escaped."""
    for name in (b"t\xff\xfe.mrc", "日本³.mrc".encode(), HOSTILE.encode()):
        write_ball(tmp_path / os.fsdecode(name), 12)
        done = program(tmp_path, "info", name, env=ENCODINGS[encoding])
        assert done.returncode == 0, done.stderr
        assert not CONTROL.search(done.stdout + done.stderr)
    done = program(tmp_path, "info", b"missing\xff\x1b[2J.mrc", env=ENCODINGS[encoding])
    assert done.returncode == 5
    assert b"missing\\xff\\x1b[2J.mrc" in done.stderr
    assert not CONTROL.search(done.stdout + done.stderr)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_json_gives_every_name_exactly(tmp_path: Path, encoding: str) -> None:
    """Whatever the encoding, the JSON on standard output is valid, shows nothing unsafe, and means the name itself."""
    name = os.fsdecode(b"d\xff\x1b[2J\xe6\x97\xa5")
    (tmp_path / name).mkdir()
    arguments = ("synth", os.fsencode(f"{name}/t.mrc"), "--shape", "32", "--json")
    done = program(tmp_path, *arguments, env=ENCODINGS[encoding])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tomogram"] == f"{name}/t.mrc"
    assert not CONTROL.search(done.stdout)


def test_one_bad_file_never_ends_a_batch(cli: Cli, tmp_path: Path) -> None:
    """Missing, damaged and unreadable files fail alone, whatever their names; the others are done; exit code 1."""
    odd = os.fsdecode(b"n\xff.mrc")
    for name in ("good.mrc", odd, HOSTILE):
        write_ball(tmp_path / name, 12)
    (tmp_path / "damaged\x1b[2J.mrc").write_bytes(b"no volume")
    (tmp_path / "folder.mrc").mkdir()
    named = ("damaged\x1b[2J.mrc", "missing.mrc", "good.mrc", odd, HOSTILE)
    done = cli("segment", *named, "--out-dir", "masks", "-e", "threshold")
    assert done.exit_code == 1, done.stderr
    assert not CONTROL.search(done.stdout.encode() + done.stderr.encode())
    with (tmp_path / "masks" / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["tomogram"]: row for row in csv.DictReader(file)}
    states = [row["state"] for row in rows.values()]
    assert states == ["failed", "failed", "done", "done", "done"]
    assert "missing.mrc" in rows["missing.mrc"]["error"]
    assert "n\\xff.mrc" in rows
    assert (tmp_path / "masks" / os.fsdecode(b"n\xff__threshold.mrc")).is_file()
    again = json.loads(
        cli("segment", *named, "--out-dir", "masks", "-e", "threshold", "--json").stdout.splitlines()[-1]
    )
    assert again["data"] == {
        "done": 0,
        "skipped": 3,
        "failed": 2,
        "table": "masks/summary.csv",
        "report": "masks/report.html",
    }


def test_a_folder_with_such_names_is_a_batch(cli: Cli, tmp_path: Path) -> None:
    """Names that a folder brings along are treated like those that are typed."""
    (tmp_path / "in").mkdir()
    write_ball(tmp_path / "in" / os.fsdecode(b"n\xff.mrc"), 12)
    shutil.copy(tmp_path / "in" / os.fsdecode(b"n\xff.mrc"), tmp_path / "in" / HOSTILE)
    (tmp_path / "in" / "loop.mrc").symlink_to("loop.mrc")
    done = cli("segment", "in", "--out-dir", "masks", "-e", "threshold")
    assert done.exit_code == 1
    assert "2 done, 0 skipped, 1 failed" in done.stderr


def test_the_formats_take_such_names(cli: Cli, tmp_path: Path) -> None:
    """Tables and images of a tomogram whose name is not UTF-8 are written; a STAR file has the name as text."""
    odd = os.fsdecode(b"n\xff")
    write_ball(tmp_path / f"{odd}.mrc", 12)
    formats = ("--nifti", "--nrrd", "--format", "ome.zarr")
    done = cli("segment", f"{odd}.mrc", "-e", "threshold", "-o", f"{odd}__m.mrc", *formats)
    assert done.exit_code == 0, done.stderr
    picks = Picks(np.full((2, 3), 4.0), np.ones(2), np.ones(2, np.int64))
    write_csv(picks, tmp_path / f"{odd}.csv", TomogramInfo((12, 12, 12), (10.0, 10.0, 10.0), odd))
    done = cli("export", f"{odd}.csv", "-o", f"{odd}.star")
    assert done.exit_code == 0, done.stderr
    assert "n\\xff" in (tmp_path / f"{odd}.star").read_text(encoding="utf-8")


def test_jobs_show_and_watch_print_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Every way in which these commands print what a server has sent escapes it: tables, facts, lines and errors."""
    output.table(["NAME"], [[HOSTILE]])
    output.facts([(HOSTILE, HOSTILE)])
    output.say(HOSTILE)
    output.note(HOSTILE)
    output.print_error(JobFailedError(HOSTILE, hint=HOSTILE, details={"log": [HOSTILE]}))
    printed = "".join(capsys.readouterr())
    assert printed.count(SHOWN) == 8
    assert not CONTROL.search(printed.encode())


class Terminal:
    """A stream that says it is a terminal, and keeps what is written to it."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Do nothing."""

    def isatty(self) -> bool:
        """Return True."""
        return True


@pytest.mark.parametrize("kind", [BarReporter, PlainReporter])
def test_progress_shows_no_command(kind: type[Any]) -> None:
    """Names of transfers and messages of servers are escaped on a bar, too, and brackets are no markup."""
    stream = Terminal()
    reporter = kind(stream)
    reporter.transfer(HOSTILE + "[/bold]", 5, 5)
    reporter.event(ConnectionEvent("lost", HOSTILE, 1.0))
    reporter.close()
    assert SHOWN in stream.text
    for command in ("\x1b[2J", "\u202e", "\x07"):
        assert command not in stream.text


@pytest.mark.system
def test_a_server_sends_no_command_to_a_terminal(server: Stack, url: str, tmp_path: Path, cli: Cli) -> None:
    """The name of a tomogram is escaped in each command that prints it, and exact in JSON; one of a job is refused."""
    folder = server.home.parent / uuid.uuid4().hex
    folder.mkdir()
    path = write_ball(folder / HOSTILE, 12)
    name = "n\x1b]0;owned\x07\u202e\x9b31m"
    with cryomamba.connect(url) as client:
        with pytest.raises(InvalidRequestError, match="cannot be shown"):
            client.submit(path, engine="threshold", name=name)
        job = client.submit(path, engine="threshold")
        failed = client.submit(write_ball(folder / f"2{HOSTILE}", 12), engine="demo", params={"seconds": 60})
        failed.cancel()
        job.wait()
    printed = []
    for command in (
        ["jobs"],
        ["show", job.job_id],
        ["watch", job.job_id],
        ["show", failed.job_id],
        ["retry", job.job_id],
    ):
        for options in ([], ["--json"]):
            done = cli(*command, *options, "--server", url)
            assert not CONTROL.search(done.stdout.encode() + done.stderr.encode()), command
            printed.append(done.stdout)
    assert all(SHOWN in text for text in (printed[0], printed[2]))
    assert json.loads(printed[3])["volume"]["name"] == path.name
    process = program(tmp_path, "jobs", "--server", url, env=ENCODINGS["cp1252"])
    assert process.returncode == 0, process.stderr
    assert not CONTROL.search(process.stdout + process.stderr)
