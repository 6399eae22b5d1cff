"""Several tomograms on a Dask cluster."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, write_ball
from tests.inference.executor.dask_processes import DaskProcesses

pytestmark = pytest.mark.slow


def test_a_folder_on_a_cluster(cli: Cli, tmp_path: Path) -> None:
    """Two tomograms at once on two workers, and a broken one: the masks are those of this machine, and are skipped next
    time.
    """
    (tmp_path / "tomograms").mkdir()
    for name, side in (("a", 24), ("b", 30)):
        write_ball(tmp_path / "tomograms" / f"{name}.mrc", side)
    (tmp_path / "tomograms" / "broken.mrc").write_bytes((tmp_path / "tomograms" / "a.mrc").read_bytes()[:3000])
    (tmp_path / "cluster").mkdir()

    def batch(out: str, *options: str) -> tuple[int, dict[str, str]]:
        done = cli("segment", "tomograms", "--out-dir", out, "--jobs", "2", *options)
        with Path(out, "summary.csv").open(newline="", encoding="utf-8") as file:
            return done.exit_code, {Path(row["tomogram"]).name: row["state"] for row in csv.DictReader(file)}

    states = {"a.mrc": "done", "b.mrc": "done", "broken.mrc": "failed"}
    for engine in ("threshold", "membrane"):
        assert batch(f"here-{engine}", "-e", engine) == (1, states)
        with DaskProcesses(tmp_path / "cluster") as processes:
            processes.start_workers(2)
            dask = ("--dask", processes.address)
            assert batch(f"there-{engine}", "-e", engine, *dask) == (1, states)
            assert processes.tasks() == 0
            assert batch(f"there-{engine}", "-e", engine, *dask)[1]["a.mrc"] == "skipped"
        for name in ("a", "b"):
            here, there = (Path(f"{where}-{engine}", f"{name}__{engine}.mrc") for where in ("here", "there"))
            assert here.read_bytes() == there.read_bytes()


def test_a_scheduler_that_is_not_there(cli: Cli, tmp_path: Path) -> None:
    """Each tomogram fails with a sentence that names the address, and the summary has it."""
    (tmp_path / "tomograms").mkdir()
    write_ball(tmp_path / "tomograms" / "a.mrc")
    address = "tcp://127.0.0.1:9"
    done = cli("segment", "tomograms", "--out-dir", "masks", "-e", "threshold", "--dask", address)
    assert done.exit_code == 1
    assert f"The Dask scheduler at {address} cannot be reached." in Path("masks/summary.csv").read_text("utf-8")
