"""A submission: the folder ``slurm/<date>`` among the results, with tomograms, scripts and logs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote_to_bytes

from pydantic import ValidationError

from cryomamba.atomic import write_atomically
from cryomamba.errors import NotFoundError
from cryomamba.models.base import Record
from cryomamba_cli.segmentation_task import Task
from cryomamba_cli.slurm.folders import FOLDER
from cryomamba_cli.task_template import TaskTemplate

if TYPE_CHECKING:
    from cryomamba.engines.info import EngineInfo

_RECORD: Final = "submission.json"


class Tomogram(Record):
    """A tomogram of a submission; paths are absolute and percent-encoded, as they may have bytes that are not UTF-8.

    Attributes
    ----------
    name : str
        As it was given.
    path, mask : str
    task : int
        Which task of the array segments it, from 1; 0 if that was done before.
    """

    name: str
    path: str
    mask: str
    task: int


class Submission(Record):
    """What was submitted.

    Attributes
    ----------
    created_at : datetime
    title : str
        Of the report.
    engine : str
    params : dict
    voxel_size_A : tuple of float or None
    nifti, nrrd, scores : bool
    formats : tuple of str
    force, pictures : bool
        As for a batch.
    tomograms : tuple of Tomogram
    array_job, summary_job : str
        Their ids; empty until SLURM has accepted them.
    """

    created_at: datetime
    title: str
    engine: str
    params: dict[str, Any]
    voxel_size_A: tuple[float, float, float] | None = None
    nifti: bool = False
    nrrd: bool = False
    scores: bool = False
    formats: tuple[str, ...] = ()
    force: bool = False
    pictures: bool = True
    tomograms: tuple[Tomogram, ...]
    array_job: str = ""
    summary_job: str = ""

    @property
    def tasks(self) -> int:
        """How many tasks the array has."""
        return max((one.task for one in self.tomograms), default=0)

    def segmented(self, info: EngineInfo, task: int | None = None) -> Mapping[Path, Task]:
        """Return what is to be segmented by one task of the array, or by all: tasks by the names of tomograms."""
        template = TaskTemplate(
            info,
            self.params,
            self.voxel_size_A,
            nifti=self.nifti,
            nrrd=self.nrrd,
            scores=self.scores,
            formats=self.formats,
        )
        chosen = [one for one in self.tomograms if task is None or one.task == task]
        return {Path(unquoted(one.name)): template.task(path_of(one.path), path_of(one.mask)) for one in chosen}


def quoted(path: Path) -> str:
    """Return a path as text, percent-encoded."""
    return quote(os.fsencode(path))


def unquoted(text: str) -> str:
    """Return the path that was percent-encoded."""
    return os.fsdecode(unquote_to_bytes(text))


def path_of(text: str) -> Path:
    """Return the path that was percent-encoded."""
    return Path(unquoted(text))


def write_submission(folder: Path, submission: Submission) -> None:
    """Write what was submitted into its folder."""
    write_atomically(folder / _RECORD, submission.model_dump_json(indent=1))


def read_submission(folder: Path) -> Submission | None:
    """Return what was submitted; None if the folder is not that of a submission, or of another version."""
    try:
        return Submission.model_validate_json((folder / _RECORD).read_bytes())
    except (OSError, ValidationError):
        return None


def submissions(results: Path) -> Iterator[tuple[Path, Submission]]:
    """Give the submissions among results, the newest first."""
    found = []
    for path in (results / FOLDER).glob(f"*/{_RECORD}"):
        submission = read_submission(path.parent)
        if submission is not None:
            found.append((path.parent, submission))
    yield from sorted(found, key=lambda one: one[1].created_at, reverse=True)


def find_submission(path: Path) -> tuple[Path, Submission]:
    """Return the submission of a folder, or the newest one of a folder of results.

    Raises
    ------
    NotFoundError
        There is none.
    """
    path = path.absolute()
    own = read_submission(path)
    if own is not None:
        return path, own
    found = next(submissions(path), None)
    if found is None:
        raise NotFoundError(
            f"Nothing was submitted with results in '{path}'.",
            hint="Give the --out-dir of 'cryomamba slurm submit', or one of the folders in its folder 'slurm'.",
        )
    return found
