"""Batches of tomograms."""

from __future__ import annotations

import codecs
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import write_ball
from typer.testing import Result

import cryomamba_cli.segmentation_task
from cryomamba.errors import InvalidRequestError
from cryomamba.testing import Stack, wait_until
from cryomamba.volumes import write_volume
from cryomamba_cli.batch.tomogram_list import expand
from cryomamba_cli.segmentation_task import Task

Cli = Callable[..., Result]


@pytest.fixture
def folder(tomogram: Path, tmp_path: Path) -> Path:
    """Three tomograms, the second of them truncated."""
    folder = tmp_path / "tomograms"
    folder.mkdir()
    for name in ("a.mrc", "c.rec"):
        shutil.copy(tomogram, folder / name)
    (folder / "b.mrc").write_bytes(tomogram.read_bytes()[:3000])
    (folder / "notes.txt").write_text("not a tomogram")
    return folder


def batch(cli: Cli, *arguments: object) -> Result:
    return cli("segment", *arguments, "--out-dir", "masks", "-e", "threshold")


def states() -> dict[str, str]:
    with Path("masks/summary.csv").open(newline="", encoding="utf-8") as file:
        return {Path(row["tomogram"]).name: row["state"] for row in csv.DictReader(file)}


def test_a_failure_does_not_stop_the_rest(cli: Cli, folder: Path) -> None:
    """Two masks are written; the summary and the exit code report the error."""
    done = batch(cli, "tomograms")
    assert done.exit_code == 1
    assert states() == {"a.mrc": "done", "b.mrc": "failed", "c.rec": "done"}
    with Path("masks/summary.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert "truncated" in rows[1]["error"]
    assert int(rows[0]["feature_voxels"]) == int(rows[2]["feature_voxels"]) > 0
    assert float(rows[0]["feature_volume_nm3"]) > 0
    assert done.stdout == "masks/summary.csv\nmasks/report.html\n"


def test_a_name_that_is_too_long_for_its_results_stops_one_tomogram_only(
    cli: Cli, tomogram: Path, tmp_path: Path
) -> None:
    """The tomogram itself exists, but 'NAME__threshold.mrc', or its record, has more bytes than a name may have."""
    names = ("l" * 250, "r" * 236, "whole")
    for name in names:
        shutil.copy(tomogram, tmp_path / f"{name}.mrc")
    done = batch(cli, *(tmp_path / f"{name}.mrc" for name in names))
    assert done.exit_code == 1
    found = states()
    assert [found[f"{name}.mrc"] for name in names] == ["failed", "failed", "done"]
    assert "would be too long" in Path("masks/summary.csv").read_text(encoding="utf-8")
    again = batch(cli, *(tmp_path / f"{name}.mrc" for name in names))
    assert again.exit_code == 1
    assert states()["whole.mrc"] == "skipped"


def test_finished_tomograms_are_skipped(cli: Cli, folder: Path) -> None:
    """The same content and parameters are skipped, also with a new date; other content or parameters are not."""
    (folder / "b.mrc").unlink()
    assert batch(cli, "tomograms/*").exit_code == 1
    (folder / "notes.txt").unlink()
    assert batch(cli, "tomograms/*").exit_code == 0
    assert set(states().values()) == {"skipped"}
    os.utime(folder / "a.mrc", (1, 1))
    assert batch(cli, "tomograms/*.mrc", "-p", "sigma_A=10.0").exit_code == 0
    assert states() == {"a.mrc": "skipped"}
    raw = bytearray((folder / "a.mrc").read_bytes())
    raw[-4:] = bytes(4)
    (folder / "a.mrc").write_bytes(raw)
    assert batch(cli, folder).exit_code == 0
    assert states() == {"a.mrc": "done", "c.rec": "skipped"}
    assert batch(cli, folder, "-p", "sigma_A=12").exit_code == 0
    assert set(states().values()) == {"done"}
    assert batch(cli, folder, "-p", "sigma_A=12", "--nrrd").exit_code == 0
    assert set(states().values()) == {"done"}
    assert Path("masks/a__threshold.nrrd").exists()


def test_other_files_are_not_overwritten(cli: Cli, folder: Path) -> None:
    """A mask that no batch made, or that was edited, fails its own tomogram only, and --force replaces it."""
    (folder / "b.mrc").unlink()
    Path("masks").mkdir()
    Path("masks/a__threshold.mrc").write_bytes(b"mine")
    assert batch(cli, folder).exit_code == 1
    assert states() == {"a.mrc": "failed", "c.rec": "done"}
    assert Path("masks/a__threshold.mrc").read_bytes() == b"mine"
    with Path("masks/c__threshold.mrc").open("ab") as file:
        file.write(b"edited")
    assert batch(cli, folder, "-p", "sigma_A=12").exit_code == 1
    assert set(states().values()) == {"failed"}
    assert batch(cli, folder, "--force").exit_code == 0
    assert set(states().values()) == {"done"}


def test_an_interrupted_batch_can_be_continued(cli: Cli, folder: Path, tomogram: Path) -> None:
    """Ctrl-C keeps the masks that are complete and a summary; the same command then does only the others."""
    (folder / "b.mrc").unlink()
    for number in range(20):
        shutil.copy(tomogram, folder / f"t{number:02d}.mrc")
    command = [sys.executable, "-m", "cryomamba_cli", "segment", "tomograms", "--out-dir", "masks", "-e", "threshold"]
    process = subprocess.Popen([*command, "--jobs", "1"], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: list(Path("masks").glob("*.mrc.json")), what="the first mask")
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate()
    assert process.returncode == 130
    found = Counter(states().values())
    assert found["done"] >= 1
    assert found["waiting"] >= 1
    assert found["done"] + found["waiting"] + found["interrupted"] == 22
    assert f"{found['waiting']} not started" in printed
    assert len(list(Path("masks").glob("*.mrc"))) == found["done"]
    done = batch(cli, folder, "--json")
    assert done.exit_code == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    counts = {"done": 22 - found["done"], "skipped": found["done"], "failed": 0, "table": "masks/summary.csv"}
    counts["report"] = "masks/report.html"
    assert lines[-1]["data"] == counts
    ended = [line["data"] for line in lines if line["type"] == "tomogram" and line["data"]["state"] != "running"]
    assert Counter(one["state"] for one in ended) == {"done": counts["done"], "skipped": counts["skipped"]}
    assert {one["of"] for one in ended} == {22}
    assert {"progress"} < {line["type"] for line in lines}


def test_only_what_failed(cli: Cli, folder: Path, tomogram: Path) -> None:
    """Tomograms that failed are tried again, and no others; without any there is nothing to do."""
    assert batch(cli, folder).exit_code == 1
    shutil.copy(tomogram, folder / "d.mrc")
    shutil.copy(tomogram, folder / "b.mrc")
    assert batch(cli, folder, "--only-failed").exit_code == 0
    assert states() == {"b.mrc": "done"}
    done = batch(cli, folder, "--only-failed")
    assert done.exit_code == 0
    assert "nothing to do" in done.stderr


def test_a_dry_run_writes_nothing(cli: Cli, folder: Path) -> None:
    """It says what would become of each tomogram: also what would fail, and what is done."""
    done = batch(cli, folder, "--dry-run")
    assert done.exit_code == 0
    assert not Path("masks").exists()
    assert batch(cli, folder / "a.mrc").exit_code == 0
    Path("masks/c__threshold.mrc").write_bytes(b"mine")
    plans = {
        Path(one["tomogram"]).name: one["plan"] for one in json.loads(batch(cli, folder, "--dry-run", "--json").stdout)
    }
    assert plans["a.mrc"] == "skip: already done"
    assert plans["b.mrc"].startswith("fail: The file is truncated")
    assert "was not made by this command" in plans["c.rec"]


def test_a_list_of_tomograms(cli: Cli, folder: Path, tmp_path: Path) -> None:
    """Lines are names, patterns or folders, in any encoding of names; empty ones and comments are left out."""
    Path("list.txt").write_text(f"# two\n{folder / 'a.mrc'}\n\n{folder / '*.rec'}\n", encoding="utf-8")
    assert batch(cli, "--list", "list.txt").exit_code == 0
    assert states() == {"a.mrc": "done", "c.rec": "done"}
    odd = os.fsdecode(b"n\xff.mrc")
    write_ball(Path(odd), 12)
    Path("list.txt").write_bytes(codecs.BOM_UTF8 + os.fsencode(f"{odd}\r\nmissing\u2028.mrc\r\n"))
    assert batch(cli, "--list", "list.txt").exit_code == 1
    assert states() == {"n\\xff.mrc": "done", "missing\\u2028.mrc": "failed"}
    Path("list.txt").write_text("a.mrc\n", encoding="utf-16")
    assert "is not a text in UTF-8" in batch(cli, "--list", "list.txt").stderr
    Path("list.txt").write_text("# none\n", encoding="utf-8")
    assert batch(cli, "--list", "list.txt").exit_code == 2
    assert batch(cli).exit_code == 2


FRAGILE = """
from typing import ClassVar
import numpy as np
from cryomamba.engines.api import Engine, EngineParameters


class Parameters(EngineParameters):
    early: bool = False


class Fragile(Engine[Parameters]):
    name = "fragile"
    summary = "Labels bright voxels, and raises on very bright ones"
    Parameters = Parameters
    labels: ClassVar = {1: "bright"}

    def prepare(self, context):
        if self.parameters.early:
            self.check(context.statistics.maximum)

    def predict(self, tile):
        self.check(tile.data.max())
        return (tile.data[tile.core] > 1).astype(np.uint8)

    def check(self, brightest):
        if brightest > 1000:
            raise ValueError("much too bright")
"""


@pytest.fixture
def fragile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An engine of another package that raises an exception of its own."""
    info = tmp_path / "site" / "fragile-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "fragile.py").write_text(FRAGILE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fragile\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cryomamba.engines]\nfragile = fragile:Fragile\n")
    monkeypatch.syspath_prepend(str(info.parent))
    yield
    sys.modules.pop("fragile", None)


@pytest.mark.parametrize("early", [True, False])
def test_an_exception_in_an_engine_stops_one_tomogram_only(
    cli: Cli, folder: Path, fragile: None, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    """The summary has the message of the engine, the debug log the traceback, and the rest is done."""
    monkeypatch.setenv("CRYOMAMBA_LOG", "debug")
    write_volume(folder / "b.mrc", np.full((24, 24, 24), 2000, np.float32), 10.0)
    done = cli("segment", folder, "--out-dir", "masks", "-e", "fragile", "-p", f"early={early}")
    assert done.exit_code == 1
    assert states() == {"a.mrc": "done", "b.mrc": "failed", "c.rec": "done"}
    with Path("masks/summary.csv").open(newline="", encoding="utf-8") as file:
        error = next(row["error"] for row in csv.DictReader(file) if row["error"])
    assert error.startswith("The engine failed: ValueError: much too bright. ")
    assert "service" not in error
    assert "in check" in done.stderr
    assert sorted(path.name for path in Path("masks").glob("*.mrc")) == ["a__fragile.mrc", "c__fragile.mrc"]


def test_a_defect_outside_an_engine_stops_one_tomogram_only(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected exception, here in a conversion, is reported like any other."""
    (folder / "b.mrc").unlink()
    real = cryomamba_cli.segmentation_task.convert_mask

    def convert(task: Task) -> None:
        if task.tomogram.name == "a.mrc":
            raise ZeroDivisionError
        real(task)

    monkeypatch.setattr("cryomamba_cli.batch.tomogram_run.convert_mask", convert)
    assert batch(cli, folder).exit_code == 1
    assert states() == {"a.mrc": "failed", "c.rec": "done"}


def test_results_are_left_out_of_folders_and_patterns(cli: Cli, folder: Path) -> None:
    """Masks and score maps next to their tomograms are ignored, with a note; a named one is not."""
    (folder / "b.mrc").unlink()
    single = ("segment", folder / "a.mrc", "-e", "membrane", "--scores", "-o", folder / "a__membrane.mrc")
    assert cli(*single).exit_code == 0
    for _ in range(2):
        done = cli("segment", folder / "*.[mr][re]c", "--out-dir", folder, "-e", "threshold")
        assert done.exit_code == 0
        assert "a__membrane.mrc, a__membrane_scores.mrc" in done.stderr
        assert [path.name for path in expand([str(folder)])] == ["a.mrc", "c.rec"]
    assert expand([str(folder / "a__membrane.mrc")]) == [folder / "a__membrane.mrc"]


def test_invalid_batches_are_refused(cli: Cli, folder: Path, tmp_path: Path) -> None:
    """A pattern without a match, two masks with one path, two outputs, and several tomograms without a folder."""
    with pytest.raises(InvalidRequestError, match="no tomogram"):
        expand(["tomograms/*.xyz"])
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(folder / "a.mrc", other / "a.mrc")
    assert batch(cli, folder, other).exit_code == 6
    assert batch(cli, folder, "-o", "x.mrc").exit_code == 2
    for many in ((folder,), ("tomograms/*.mrc",), (folder / "a.mrc", folder / "c.rec")):
        assert "--out-dir" in cli("segment", *many, "-e", "threshold").stderr
    assert not Path("masks").exists()


@pytest.mark.system
def test_on_a_server(cli: Cli, server: Stack, folder: Path) -> None:
    """The server reads the files by their paths; the second time nothing is submitted."""
    (folder / "b.mrc").unlink()
    there = server.home.parent / "batch"
    shutil.copytree(folder, there)
    for state in ("done", "skipped"):
        done = batch(cli, there, "--server", server.bus_url)
        assert done.exit_code == 0, done.stderr
        assert states() == {"a.mrc": state, "c.rec": state}
    assert len(json.loads(cli("jobs", "--server", server.bus_url, "--json").stdout)) == 2
