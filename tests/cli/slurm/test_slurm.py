"""`cryomamba slurm` with a real cluster: what is submitted, what becomes of it, and what if it is cut short."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.slurm.cluster import LONG_S, MOST_TASKS, Cluster
from typer.testing import Result

from cryomamba.testing import wait_until

pytestmark = [pytest.mark.system, pytest.mark.slow]

Cli = Callable[..., Result]
OUT = Path("masks here")
SMALL = ("-o", OUT, "--cpus-per-task", 1)


def submit(cli: Cli, *options: object) -> dict[str, object]:
    """Submit, and return what the command prints as JSON."""
    done = cli("slurm", "submit", *SMALL, "--json", *options)
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(done.stdout)
    return found


def wait_for_end(cluster: Cluster) -> None:
    wait_until(lambda: not cluster.queue(), timeout=4 * LONG_S, what="an empty queue")


def rows() -> dict[str, dict[str, str]]:
    with (OUT / "summary.csv").open(newline="", encoding="utf-8") as file:
        return {Path(row["tomogram"]).name: row for row in csv.DictReader(file)}


def states() -> dict[str, str]:
    return {name: row["state"] for name, row in rows().items()}


def status(cli: Cli) -> dict[str, str]:
    found = json.loads(cli("slurm", "status", OUT, "--json").stdout)
    return {Path(one["tomogram"]).name: one["state"] for one in found["tomograms"]}


def test_each_tomogram_is_segmented_once_and_reported(cli: Cli, cluster: Cluster, tomograms: Path) -> None:
    """The report names the broken one, a second submission has only that one, and a batch accepts all masks as done."""
    found = submit(cli, tomograms, "-e", "threshold")
    assert (found["tasks"], found["tomograms"]) == (3, {"submitted": 3, "done": 0, "queued": 0})
    wait_for_end(cluster)
    assert states() == status(cli) == {"a.mrc": "done", "b.mrc": "done", "broken.mrc": "failed"}
    assert "truncated" in rows()["broken.mrc"]["error"]
    assert "broken.mrc" in (OUT / "report.html").read_text(encoding="utf-8")
    folder = Path(str(found["folder"]))
    assert sorted(path.name for path in folder.iterdir()) == ["array.sh", "logs", "submission.json", "summary.sh"]
    assert "truncated" in (folder / "logs" / "3.log").read_text(encoding="utf-8")
    # Nothing is left of the work, and of each result there is one set of files.
    assert {path.name for path in (OUT / ".cryomamba").rglob("*")} == {"lock", "members"}
    names = [f"{base}__threshold{end}" for base in ("a", "b") for end in (".apng", ".mrc", ".mrc.json", ".png")]
    assert sorted(path.name for path in OUT.iterdir() if path.is_file() and "__" in path.name) == sorted(
        [*names, "broken__threshold.mrc.json"]
    )
    again = submit(cli, tomograms, "-e", "threshold")
    assert (again["tasks"], again["tomograms"]) == (1, {"submitted": 1, "done": 2, "queued": 0})
    wait_for_end(cluster)
    assert states() == {"a.mrc": "skipped", "b.mrc": "skipped", "broken.mrc": "failed"}
    (tomograms / "broken.mrc").unlink()
    assert cli("segment", tomograms, "--out-dir", OUT, "-e", "threshold").exit_code == 0
    assert set(states().values()) == {"skipped"}
    nothing = cli("slurm", "submit", *SMALL, tomograms, "-e", "threshold")
    assert (nothing.exit_code, cluster.queue()) == (0, "")
    assert "nothing to submit" in nothing.stderr


def test_what_is_cancelled_is_named_and_submitted_again(cli: Cli, cluster: Cluster, tomograms: Path) -> None:
    """A task that ends early leaves nothing half-written; the same command completes it and repeats nothing."""
    (tomograms / "broken.mrc").unlink()
    options = (tomograms, "-e", "demo", "-p", "seconds=6", "--jobs", 1)
    found = submit(cli, *options)
    log = Path(str(found["folder"])) / "logs" / "1.log"
    wait_until(lambda: log.exists() and "started with demo" in log.read_text(), timeout=LONG_S, what="the first task")
    cluster.run("scancel", f"{found['array_job']}_1")
    wait_for_end(cluster)
    assert states() == {"a.mrc": "interrupted", "b.mrc": "done"}
    assert str(log) in rows()["a.mrc"]["error"]
    assert "CANCELLED" in rows()["a.mrc"]["error"]
    assert not (OUT / "a__demo.mrc").exists()
    before = (OUT / "b__demo.mrc").stat()
    assert submit(cli, *options)["tomograms"] == {"submitted": 1, "done": 1, "queued": 0}
    wait_for_end(cluster)
    assert states() == {"a.mrc": "done", "b.mrc": "skipped"}
    assert (OUT / "b__demo.mrc").stat().st_ino == before.st_ino


def test_what_is_in_the_queue_is_not_submitted_again(cli: Cli, cluster: Cluster, tomograms: Path) -> None:
    """A second submission to the same folder has only the tomograms that are new."""
    first = submit(cli, tomograms / "a.mrc", "-e", "threshold", "--sbatch", "--hold")
    second = submit(cli, tomograms / "a.mrc", tomograms / "b.mrc", "-e", "threshold")
    assert second["tomograms"] == {"submitted": 1, "done": 0, "queued": 1}
    cluster.run("scontrol", "release", str(first["array_job"]))
    wait_for_end(cluster)
    assert (OUT / "a__threshold.mrc").exists()
    assert (OUT / "b__threshold.mrc").exists()


def test_an_array_has_as_many_tasks_as_the_cluster_allows(cli: Cli, cluster: Cluster, tomogram: Path) -> None:
    """More tomograms are divided among them; a number for each task that does not suffice is refused."""
    many = Path("many")
    many.mkdir()
    for number in range(MOST_TASKS + 1):
        shutil.copy(tomogram, many / f"{number}.mrc")
    refused = cli("slurm", "submit", *SMALL, many, "-e", "threshold", "--per-task", 1)
    assert refused.exit_code == 2
    assert "--per-task 2" in refused.stderr
    assert submit(cli, many, "-e", "threshold", "--no-pictures")["tasks"] == 3
    wait_for_end(cluster)
    assert list(states().values()) == ["done"] * (MOST_TASKS + 1)


@pytest.mark.parametrize("option", ["--sbatch", "--sbatch-summary"])
def test_what_slurm_refuses_leaves_nothing(cli: Cli, cluster: Cluster, tomograms: Path, option: str) -> None:
    """Neither job stays in the queue, no folder of a submission is left, and SLURM's own words are shown."""
    refused = cli("slurm", "submit", *SMALL, tomograms, "-e", "threshold", option, "--partition=nowhere")
    assert refused.exit_code == 2
    assert "SLURM refused 'sbatch': " in refused.stderr
    assert "invalid partition specified: nowhere" in refused.stderr.lower()
    wait_for_end(cluster)
    assert list((OUT / "slurm").iterdir()) == []
    assert not list(OUT.glob("*.mrc"))


def test_a_batch_and_tasks_do_not_work_side_by_side(cli: Cli, cluster: Cluster, tomograms: Path) -> None:
    """While a task runs, a batch with the same results is refused."""
    found = submit(cli, tomograms / "a.mrc", "-e", "demo", "-p", "seconds=300")
    log = Path(str(found["folder"])) / "logs" / "1.log"
    wait_until(lambda: log.exists() and "started" in log.read_text(), timeout=LONG_S, what="the task")
    assert status(cli) == {"a.mrc": "running"}
    refused = cli("segment", tomograms / "b.mrc", "--out-dir", OUT, "-e", "threshold")
    assert refused.exit_code == 6
    # Its report is written by a member too, so it needs no end of the task.
    assert cli("slurm", "report", OUT).exit_code == 0
    assert states() == {"a.mrc": "running"}
    cluster.run("scancel", str(found["array_job"]))
    wait_for_end(cluster)
