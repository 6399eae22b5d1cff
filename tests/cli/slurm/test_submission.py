"""The folder of a submission and the record in it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cryomamba.errors import NotFoundError
from cryomamba_cli.engines import choose, offered
from cryomamba_cli.slurm.folders import create_folder, results_of
from cryomamba_cli.slurm.submission import Submission, Tomogram, find_submission, quoted, write_submission

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ODD = Path(os.fsdecode(b"n\xe4me of 50% $x.mrc"))


def submission(number: int, *names: Path) -> Submission:
    tomograms = [
        Tomogram(name=quoted(name), path=quoted("/in" / name), mask=quoted("/out" / name), task=task)
        for task, name in enumerate(names, 1)
    ]
    created = NOW.replace(hour=number)
    return Submission(created_at=created, title="", engine="threshold", params={}, tomograms=tuple(tomograms))


def test_names_keep_every_byte(tmp_path: Path) -> None:
    """Also those that are not UTF-8, or have signs that shells and addresses read as their own."""
    write_submission(tmp_path, submission(1, ODD, Path("b.mrc")))
    _, found = find_submission(tmp_path)
    tasks = found.segmented(choose(offered(None), "threshold"))
    assert {name: task.tomogram for name, task in tasks.items()} == {ODD: "/in" / ODD, Path("b.mrc"): Path("/in/b.mrc")}
    assert list(found.segmented(choose(offered(None), "threshold"), 2)) == [Path("b.mrc")]
    assert found.tasks == 2


def test_submissions_of_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    """Each below the folder of the results."""
    first, second = create_folder(tmp_path, NOW), create_folder(tmp_path, NOW)
    assert first != second
    assert results_of(first) == results_of(second) == tmp_path


def test_the_newest_submission_is_found(tmp_path: Path) -> None:
    """From the folder of the results; an older one from its own folder; one of another version counts for none."""
    older, newer, foreign = (create_folder(tmp_path, NOW) for _ in range(3))
    write_submission(newer, submission(2))
    write_submission(older, submission(1))
    (foreign / "submission.json").write_text("{}")
    assert find_submission(tmp_path)[0] == newer
    assert find_submission(older)[0] == older
    with pytest.raises(NotFoundError):
        find_submission(foreign)
