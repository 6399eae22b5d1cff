"""Progress of a running job: a bar on a terminal, lines of text in a pipe, lines of JSON for scripts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import typer

from cryomamba.printable import printable
from cryomamba_cli import output
from cryomamba_cli.verbosity import is_quiet

if TYPE_CHECKING:
    from cryomamba.models.events import ConnectionEvent, Event
    from cryomamba.models.frames import PreviewFrame
    from cryomamba.models.jobs import JobRecord, Progress

_STEPS = 20


class Reporter(Protocol):
    """Shows the events of a job, in order."""

    def event(self, event: Event) -> None:
        """Show an event."""

    def transfer(self, name: str, done: int, total: int) -> None:
        """Show the progress of a download or upload, in bytes."""

    def note(self, text: str) -> None:
        """Show a message."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def reporter(*, json: bool, stream: TextIO) -> Reporter:
    """Return a reporter: lines of JSON on stdout, or a bar on `stream` if it is a terminal, or lines of text on it.

    With ``--quiet`` it shows nothing.
    """
    if json:
        return JsonReporter()
    if is_quiet():
        return SilentReporter()
    return BarReporter(stream) if stream.isatty() else PlainReporter(stream)


class SilentReporter:
    """Shows nothing."""

    def event(self, event: Event) -> None:
        """Do nothing."""

    def transfer(self, name: str, done: int, total: int) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class JsonReporter:
    """One JSON object per line on stdout: ``{"type", "job_id", "data"}``, as in the WebSocket API."""

    def event(self, event: Event) -> None:
        """Print the event."""
        output.line(event_fields(event))

    def transfer(self, name: str, done: int, total: int) -> None:
        """Do nothing: the finished file is reported."""

    def note(self, text: str) -> None:
        """Print the message on stderr."""
        output.note(text)

    def close(self) -> None:
        """Do nothing."""


class PlainReporter:
    """Lines of text: every change of state or stage, and the progress in steps of 5 %."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._stage = ""
        self._step = -1
        self._previews = 0
        self._connection = _ConnectionNotes()

    def event(self, event: Event) -> None:
        """Print a line if something changed."""
        from cryomamba.models.events import ConnectionEvent, PreviewEvent, ProgressEvent, StateEvent

        match event:
            case StateEvent():
                self._step = -1
                self.note(state_line(event.record))
            case ProgressEvent():
                self._progress(event.progress)
            case PreviewEvent():
                self._previews += 1
            case ConnectionEvent():
                self._connection.report(event, self.note)

    def _progress(self, progress: Progress) -> None:
        step = round(progress.fraction * 1000) * _STEPS // 1000
        if progress.stage == self._stage and step <= self._step:
            return
        self._stage, self._step = progress.stage, step
        eta = f", {output.seconds(progress.eta_s)} left" if progress.eta_s is not None else ""
        self.note(f"{progress.fraction:4.0%} {progress.stage}{_tiles(progress)}, {_previews(self._previews)}{eta}")

    def transfer(self, name: str, done: int, total: int) -> None:
        """Print a line when a transfer is complete."""
        if done == total:
            self.note(f"{name}: {output.nbytes(done)}")

    def note(self, text: str) -> None:
        """Print a line, unbuffered."""
        typer.echo(printable(text), file=self._stream)
        self._stream.flush()

    def close(self) -> None:
        """Do nothing."""


class BarReporter:
    """A progress bar with stage, tiles, previews and the time left."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        # Without markup: brackets in the name of a stage or file are only brackets.
        name, more = (TextColumn(f"{{task.{one}}}", markup=False) for one in ("description", "fields[more]"))
        columns = name, BarColumn(), TaskProgressColumn(), more
        self._bar = Progress(*columns, console=Console(file=stream, highlight=False))
        self._task = self._bar.add_task("waiting", total=1.0, more="")
        self._previews = 0
        self._connection = _ConnectionNotes()
        self._bar.start()

    def event(self, event: Event) -> None:
        """Update the bar; print changes of state above it."""
        from cryomamba.models.events import ConnectionEvent, PreviewEvent, ProgressEvent, StateEvent

        match event:
            case StateEvent():
                self._bar.update(self._task, description=str(event.record.state))
                self._progress(event.record.progress, named=False)
                if event.record.state.final or event.event.reason:
                    self.note(state_line(event.record))
            case ProgressEvent():
                self._progress(event.progress, named=True)
            case PreviewEvent():
                self._previews += 1
            case ConnectionEvent():
                self._connection.report(event, self.note)

    def _progress(self, progress: Progress, *, named: bool) -> None:
        eta = f", {output.seconds(progress.eta_s)} left" if progress.eta_s is not None else ""
        more = f"{_previews(self._previews)}{_tiles(progress)}{eta}"
        self._bar.update(self._task, completed=progress.fraction, more=more)
        if named and progress.stage:
            self._bar.update(self._task, description=printable(progress.stage))

    def transfer(self, name: str, done: int, total: int) -> None:
        """Show the transfer on the bar."""
        self._bar.update(self._task, description=printable(name), completed=done / total if total else 1.0, more="")

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(printable(text), markup=False)

    def close(self) -> None:
        """Stop the bar and leave it on the screen."""
        self._bar.stop()


class _ConnectionNotes:
    def __init__(self) -> None:
        self._lost = False

    def report(self, event: ConnectionEvent, note: Callable[[str], None]) -> None:
        if event.status != "connected" or self._lost:
            note(event.message)
        self._lost = event.status == "lost"


@contextmanager
def stderr_reporter(*, json: bool) -> Iterator[Reporter]:
    """Give the reporter of a command whose result goes to stdout: progress goes to stderr."""
    with closing(reporter(json=json, stream=sys.stderr)) as display:
        yield display


def event_fields(event: Event) -> dict[str, Any]:
    """Return an event as JSON types; a preview without its voxels."""
    from cryomamba.models.events import ConnectionEvent, PreviewEvent, ProgressEvent, StateEvent

    match event:
        case StateEvent():
            return {"type": event.event.type, "job_id": event.job_id, "data": event.record.model_dump(mode="json")}
        case ProgressEvent():
            return {"type": "progress", "job_id": event.job_id, "data": event.progress.model_dump(mode="json")}
        case PreviewEvent():
            return {"type": "preview", "job_id": event.job_id, "data": _frame_fields(event.frame, event.skipped)}
        case ConnectionEvent():
            connection = {"status": event.status, "message": event.message, "retry_s": event.retry_s}
            return {"type": "link", "job_id": None, "data": connection}


def _frame_fields(frame: PreviewFrame, skipped: int) -> dict[str, Any]:
    return {
        "scale": list(frame.scale),
        "shape": list(frame.mask.shape),
        "volume_shape": list(frame.volume_shape),
        "progress": frame.progress,
        "attempt": frame.attempt,
        "coarse": frame.coarse,
        "final": frame.final,
        "seq": frame.seq,
        "labelled_voxels": int((frame.mask != 0).sum()),
        "skipped": skipped,
    }


def state_line(record: JobRecord) -> str:
    """Return one line about the state of a job."""
    attempt = f", attempt {record.attempt}" if record.attempt > 1 else ""
    return f"job {record.job_id}: {record.state} ({record.engine}{attempt})"


def label_lines(statistics: Mapping[str, Any]) -> list[str]:
    """Return lines about the result of a job: the number of picks, the region, and the volume of each label."""
    picks = statistics.get("picks")
    found = [] if picks is None else [f"found {_objects(picks)}{_points(picks)}"]
    region = statistics.get("within")
    if region is not None:
        share = f"{region['fraction']:.2%} of the tomogram, {output.quantity(region['volume_nm3'])} nm³"
        found.append(f"segmented within {region['mask']}: {region['voxels']:,} voxels, {share}")
    return found + [
        f"{label['name']}: {label['voxels']:,} voxels, {_share(label)}, {output.quantity(label['volume_nm3'])} nm³"
        + _area(label)
        for label in statistics["labels"]
    ]


def finding_lines(statistics: Mapping[str, Any]) -> list[str]:
    """Return lines about what an engine has determined by itself, and about what should be checked."""
    from cryomamba.models.estimates import estimates_line

    estimated = estimates_line(statistics.get("estimates", {}))
    found = [f"estimated: {estimated}"] if estimated else []
    for warning in statistics.get("warnings", ()):
        found.append(f"warning: {warning['message']}")
        found += [f"         {warning['hint']}"] if warning["hint"] else []
    return found


def _share(label: Mapping[str, Any]) -> str:
    within = label.get("fraction_within")
    return f"{label['fraction']:.2%} of the tomogram" if within is None else f"{within:.2%} of the region"


def _objects(picks: Mapping[str, Any]) -> str:
    # The kinds are plurals: particles, filaments, membranes.
    return f"{picks['objects']:,} {picks['kind'] if picks['objects'] != 1 else picks['kind'].removesuffix('s')}"


def _points(picks: Mapping[str, Any]) -> str:
    where = {"particles": "", "filaments": f", {picks['points']} points along them"}
    return where.get(picks["kind"], f", {picks['points']} points on them")


def _area(label: Mapping[str, Any]) -> str:
    area = label.get("medial_surface_nm2")
    return "" if area is None else f", medial surface area {output.quantity(area)} nm²"


def _previews(count: int) -> str:
    return "1 preview" if count == 1 else f"{count} previews"


def _tiles(progress: Progress) -> str:
    return f", {progress.done_tiles} of {progress.total_tiles} tiles" if progress.total_tiles else ""
