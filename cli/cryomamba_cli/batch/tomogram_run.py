"""The work on one tomogram, from its files to its record; runs in a thread of its own."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from cryomamba.errors import CryoMambaError, ErrorCode, InternalError, InvalidRequestError, JobFailedError
from cryomamba.file_names import stem
from cryomamba.models.events import Event
from cryomamba.printable import file_text
from cryomamba_cli.batch.pictures import draw_pictures, picture_paths
from cryomamba_cli.batch.record import (
    PENDING,
    FileFacts,
    TomogramRecord,
    facts,
    fingerprint,
    made_from_content,
    matching_record,
    read_record,
    record_path,
    require_replaceable,
    write_record,
)
from cryomamba_cli.batch.session import State
from cryomamba_cli.batch.work_folder import WorkFolder
from cryomamba_cli.output import trace
from cryomamba_cli.segmentation_task import Task, convert_mask


class Runner(Protocol):
    """Runs an engine: on this machine, or on a server."""

    def run(
        self, task: Task, source: str, on_event: Callable[[Event], None], cancelled: Callable[[], bool]
    ) -> RunResult:
        """Write the files of a task, and return the statistics; blocks. Called in several threads.

        Parameters
        ----------
        task : Task
        source : str
            Identifies content and recipe; empty if an earlier run of the same must not count.
        on_event : callable
            Called with progress.
        cancelled : callable
            Called often; return True to cancel.
        """


@dataclass(frozen=True, slots=True)
class RunResult:
    """The contents of ``stats.json``, and the id of the job on a server."""

    statistics: Mapping[str, Any]
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the work on a tomogram ended.

    Attributes
    ----------
    state : State
        Done, skipped, failed, or interrupted.
    record : TomogramRecord or None
        None if it was interrupted.
    error : CryoMambaError or None
    """

    state: State
    record: TomogramRecord | None = None
    error: CryoMambaError | None = None


@dataclass(frozen=True, slots=True)
class TomogramRun:
    """The work on one tomogram.

    Attributes
    ----------
    path : Path
        Its name in the session.
    task : Task
        What to segment, and where the results go.
    recipe : mapping
        See :func:`~cryomamba_cli.batch.record.recipe_of`.
    inputs : tuple of Path
        The tomogram's files.
    work : WorkFolder
    runner : Runner
    pictures : bool
        Whether to draw the result.
    notify : bool
        Whether a command or webhook is to be run when it has ended.
    force : bool
        Repeat what was done before, and overwrite files of others.
    interruptions : int
        How often the program was ended during this before.
    keep_failure : callable
        Whether an error is a result; otherwise the tomogram is tried again and no record is written.
    """

    path: Path
    task: Task
    recipe: Mapping[str, Any]
    inputs: tuple[Path, ...]
    work: WorkFolder
    runner: Runner
    pictures: bool = False
    notify: bool = False
    force: bool = False
    interruptions: int = 0
    keep_failure: Callable[[CryoMambaError], bool] = lambda _: True

    def run(self, on_event: Callable[[Event], None], cancelled: Callable[[], bool]) -> Outcome:
        """Segment the tomogram unless that was done before, and write its record; never raises an error of its own."""
        began = time.monotonic()
        inputs: tuple[FileFacts, ...] = ()
        folder = self.work.begin(self.path, self.interruptions)
        try:

            def check() -> None:
                if cancelled():
                    raise JobFailedError("The run was ended.", code=ErrorCode.CANCELLED)

            inputs = tuple(fingerprint(path, check) for path in self.inputs)
            earlier = None if self.force else self._earlier(inputs)
            if earlier is not None:
                return Outcome(State.SKIPPED, earlier)
            if not self.force:
                require_replaceable(self.task)
            return self._segment(folder, inputs, began, on_event, cancelled)
        except Exception as error:  # noqa: BLE001 (an error of one tomogram must not stop the others)
            trace()
            return self._failed(typed_error(error), inputs, time.monotonic() - began)
        finally:
            self.work.end(self.path)

    def _earlier(self, inputs: tuple[FileFacts, ...]) -> TomogramRecord | None:
        record = matching_record(self.task, self.recipe)
        if record is None or record.state != "done" or not made_from_content(record, inputs):
            return None
        if record.input != inputs:
            # The same content with another date: keep the date, so that the next run need not read the file.
            record = record.model_copy(update={"input": inputs})
            write_record(self.task.mask, record, self.work.scratch)
        return record

    def _segment(
        self,
        folder: Path,
        inputs: tuple[FileFacts, ...],
        began: float,
        on_event: Callable[[Event], None],
        cancelled: Callable[[], bool],
    ) -> Outcome:
        made = replace(_moved(self.task, folder), tomogram=self._volume(folder))
        checksums = [one.sha256 for one in inputs]
        source = "" if self.force or None in checksums else f"{self.path} {checksums} {self.recipe}"
        result = self.runner.run(made, source, on_event, cancelled)
        convert_mask(made)
        files, warnings = list(made.files), list(result.statistics.get("warnings", ()))
        if self.pictures:
            warnings += self._draw(made, files)
        statistics = result.statistics
        record = TomogramRecord(
            tomogram=file_text(self.path),
            state="done",
            recipe=dict(self.recipe),
            input=inputs,
            mask=facts(made.mask),
            files=tuple(file_text(path.name) for path in files),
            ended_at=datetime.now(UTC),
            seconds=round(time.monotonic() - began, 3),
            shape=statistics.get("shape"),
            voxel_size_A=statistics.get("voxel_size_A"),
            labels=tuple(statistics["labels"]),
            picks=statistics.get("picks"),
            estimates=statistics.get("estimates", {}),
            warnings=tuple(warnings),
            job_id=result.job_id,
            notification=PENDING if self.notify else "",
        )
        self.task.mask.parent.mkdir(parents=True, exist_ok=True)
        self.work.publish(folder, self.task.mask, record)
        return Outcome(State.DONE, record)

    def _volume(self, folder: Path) -> Path:
        """Return the volume to segment: the tomogram's file, or the mean of two half-tomograms."""
        if len(self.inputs) == 1:
            return self.inputs[0]
        from cryomamba.volumes import average_volumes

        # With the name that the tomogram would have.
        mean = folder / f"{stem(self.path)}.mrc"
        even, odd = self.inputs
        average_volumes(even, odd, mean)
        return mean

    def _draw(self, made: Task, files: list[Path]) -> list[dict[str, str]]:
        """Draw the pictures; that this failed is a warning, as the mask is there."""
        try:
            files += draw_pictures(made.tomogram, made.mask)
        except Exception as error:  # noqa: BLE001 (whatever it is, the mask is complete)
            trace()
            for path in picture_paths(made.mask):
                path.unlink(missing_ok=True)
            return [{"code": "picture_missing", "message": f"No picture was drawn: {typed_error(error)}", "hint": ""}]
        return []

    def _failed(self, error: CryoMambaError, inputs: tuple[FileFacts, ...], seconds: float) -> Outcome:
        if error.code is ErrorCode.CANCELLED:
            return Outcome(State.INTERRUPTED, None, error)
        if not self.keep_failure(error):
            return Outcome(State.FAILED, None, error)
        record = failure_record(
            self.path, self.task, self.recipe, inputs, error, seconds, scratch=self.work.scratch, notify=self.notify
        )
        return Outcome(State.FAILED, record, error)


def failure_record(
    path: Path,
    task: Task,
    recipe: Mapping[str, Any],
    inputs: tuple[FileFacts, ...],
    error: CryoMambaError,
    seconds: float = 0.0,
    *,
    scratch: Path | None,
    notify: bool = False,
) -> TomogramRecord:
    """Return the record of a tomogram that failed, and write it if there is a `scratch` folder for that.

    A mask of an earlier run stays, and the record still says that it was made here. A file of somebody else that has
    the name of the record stays too.
    """
    earlier = None if scratch is None else read_record(task.mask)
    record = TomogramRecord(
        tomogram=file_text(path),
        state="failed",
        recipe=dict(recipe),
        input=inputs,
        mask=None if earlier is None else earlier.mask,
        files=() if earlier is None else earlier.files,
        ended_at=datetime.now(UTC),
        seconds=round(seconds, 3),
        error=error.payload(),
        notification=PENDING if notify else "",
    )
    if scratch is not None:
        try:
            if earlier is not None or not record_path(task.mask).exists():
                task.mask.parent.mkdir(parents=True, exist_ok=True)
                write_record(task.mask, record, scratch)
        except (OSError, CryoMambaError):
            # The report still names it. It is tried again by the next run.
            trace()
    return record


def typed_error(error: Exception) -> CryoMambaError:
    """Return an exception as an error with a message and a hint for people."""
    match error:
        case CryoMambaError():
            return error
        case OSError(errno=errno.ENAMETOOLONG):
            return InvalidRequestError(
                "The names of its results would be too long for the disk.",
                hint="Rename the tomogram, or give a folder with a shorter path with --out-dir.",
            )
        case OSError():
            return JobFailedError(
                f"{error.filename or 'A file'}: {error.strerror or error}.",
                hint="Check the path, its permissions and the free space on its disk.",
            )
        case _:
            return InternalError(
                f"Unexpected error: {type(error).__name__}: {error}",
                hint="This is a defect in CryoMamba; --verbose shows the traceback.",
            )


def _moved(task: Task, folder: Path) -> Task:
    """Return a task that writes its files into another folder."""
    return replace(
        task,
        mask=folder / task.mask.name,
        exports={form: folder / path.name for form, path in task.exports.items()},
        conversions=tuple(folder / path.name for path in task.conversions),
    )
