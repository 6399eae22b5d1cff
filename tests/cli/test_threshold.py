"""``threshold``: re-threshold a score map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
from tests.cli.conftest import write_ball
from typer.testing import Result

import cryomamba
from cryomamba.testing import Stack
from cryomamba.volumes import write_volume

Cli = Callable[..., Result]


def test_threshold(cli: Cli, tmp_path: Path) -> None:
    """A score map is thresholded with hysteresis and minimum volume; a tomogram is refused."""
    scores = np.zeros((6, 8, 40), np.uint16)
    scores[2, 2, 2:10], scores[2, 2, 5] = 120, 220
    scores[2, 2, 20:30] = 120
    scores[4, 4, 34] = 250
    write_volume(tmp_path / "scores.mrc", scores, 10.0, dtype="uint16")
    done = cli("threshold", "scores.mrc", "--high", 200, "--low", 100, "--min-volume", 2)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "scores__threshold200.mrc\n"
    found = mrcfile.read(tmp_path / "scores__threshold200.mrc")
    assert np.argwhere(found).tolist() == [[2, 2, x] for x in range(2, 10)]
    assert cli("threshold", "scores.mrc", "--high", 200, "--low", 201, "-o", "x.mrc").exit_code == 2
    write_volume(tmp_path / "density.mrc", np.full((4, 4, 4), -3, np.float32), 10.0)
    assert cli("threshold", "density.mrc", "--high", 200).exit_code == 5
    assert cli("threshold", "missing.mrc", "--high", 200).exit_code == 5


def test_the_job_of_another_threshold_is_named_after_the_tomogram(cli: Cli, server: Stack, tmp_path: Path) -> None:
    """Its volume is a score map, which says nothing to people; the longest name of a job fits with the threshold."""
    tomogram = write_ball(server.home.parent / "ball.mrc")
    with cryomamba.connect(server.http_url) as client:
        for name, expected in (("", "ball.mrc, threshold 200"), ("n" * 200, "n" * 185 + ", threshold 200")):
            job = client.submit(tomogram, engine="membrane", name=name)
            job.wait()
            assert (
                cli("threshold", job.job_id, "--high", 200, "-o", "m.mrc", "-f", "-s", server.http_url).exit_code == 0
            )
            assert client.jobs(limit=1)[0].record.name == expected
