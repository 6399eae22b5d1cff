"""How a running job is shown: a bar on a terminal, lines in a pipe, JSON lines for a script."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import typer

from cryomamba_cli import output

if TYPE_CHECKING:
    from cryomamba.models.events import ConnectionEvent, Event
    from cryomamba.models.frames import PreviewFrame
    from cryomamba.models.jobs import JobRecord, Progress

_STEPS = 20


class Reporter(Protocol):
    """Is told of every event of a job, in order."""

    def event(self, event: Event) -> None:
        """Show an event."""

    def transfer(self, name: str, done: int, total: int) -> None:
        """Show how far a download is, in bytes."""

    def note(self, text: str) -> None:
        """Show a sentence for people."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def reporter(*, json: bool, stream: TextIO) -> Reporter:
    """Return what fits: JSON lines on stdout if asked for, a bar if `stream` is a terminal, else plain lines on it."""
    if json:
        return JsonReporter()
    return BarReporter(stream) if stream.isatty() else PlainReporter(stream)


class JsonReporter:
    """One JSON object a line on stdout: ``{"type", "job_id", "data"}``, as the WebSocket API has them."""

    def event(self, event: Event) -> None:
        """Print the event."""
        output.line(event_fields(event))

    def transfer(self, name: str, done: int, total: int) -> None:
        """Say nothing: the file is reported when it is there."""

    def note(self, text: str) -> None:
        """Say it on stderr."""
        output.note(text)

    def close(self) -> None:
        """Do nothing."""


class PlainReporter:
    """Lines of text: every change of state or stage, and progress in steps of 5 %."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._stage = ""
        self._step = -1
        self._previews = 0
        self._link = _Link()

    def event(self, event: Event) -> None:
        """Print a line if there is news."""
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
                self._link.tell(event, self.note)

    def _progress(self, progress: Progress) -> None:
        step = round(progress.fraction * 1000) * _STEPS // 1000
        if progress.stage == self._stage and step <= self._step:
            return
        self._stage, self._step = progress.stage, step
        eta = f", {output.seconds(progress.eta_s)} to go" if progress.eta_s is not None else ""
        self.note(f"{progress.fraction:4.0%} {progress.stage}{_tiles(progress)}, {_previews(self._previews)}{eta}")

    def transfer(self, name: str, done: int, total: int) -> None:
        """Print the end of a download."""
        if done == total:
            self.note(f"{name}: {output.nbytes(done)}")

    def note(self, text: str) -> None:
        """Print a line and hand it on at once."""
        typer.echo(text, file=self._stream)
        self._stream.flush()

    def close(self) -> None:
        """Do nothing."""


class BarReporter:
    """A live bar with stage, tiles, previews and the time to go."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[more]}"),
            console=Console(file=stream, highlight=False),
        )
        self._task = self._bar.add_task("waiting", total=1.0, more="")
        self._previews = 0
        self._link = _Link()
        self._bar.start()

    def event(self, event: Event) -> None:
        """Move the bar; say changes of state above it."""
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
                self._link.tell(event, self.note)

    def _progress(self, progress: Progress, *, named: bool) -> None:
        eta = f", {output.seconds(progress.eta_s)} to go" if progress.eta_s is not None else ""
        more = f"{_previews(self._previews)}{_tiles(progress)}{eta}"
        self._bar.update(self._task, completed=progress.fraction, more=more)
        if named and progress.stage:
            self._bar.update(self._task, description=progress.stage)

    def transfer(self, name: str, done: int, total: int) -> None:
        """Let the bar count bytes."""
        self._bar.update(self._task, description=name, completed=done / total if total else 1.0, more="")

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(text, markup=False)

    def close(self) -> None:
        """Stop the bar and leave it as it stands."""
        self._bar.stop()


class _Link:
    """Tells of a connection only what is news: that it was lost, and that it is back."""

    def __init__(self) -> None:
        self._lost = False

    def tell(self, event: ConnectionEvent, note: Callable[[str], None]) -> None:
        if event.status != "connected" or self._lost:
            note(event.message)
        self._lost = event.status == "lost"


def stderr_reporter(*, json: bool) -> Reporter:
    """Return the reporter of a command whose answer is something else: progress goes to stderr."""
    return reporter(json=json, stream=sys.stderr)


def event_fields(event: Event) -> dict[str, Any]:
    """Return an event as plain JSON types; of a preview everything but its voxels."""
    from cryomamba.models.events import ConnectionEvent, PreviewEvent, ProgressEvent, StateEvent

    match event:
        case StateEvent():
            data = event.record.model_dump(mode="json")
            return {"type": event.event.type, "job_id": event.job_id, "data": data}
        case ProgressEvent():
            data = event.progress.model_dump(mode="json")
            return {"type": "progress", "job_id": event.job_id, "data": data}
        case PreviewEvent():
            return {"type": "preview", "job_id": event.job_id, "data": _frame_fields(event.frame, event.skipped)}
        case ConnectionEvent():
            link = {"status": event.status, "message": event.message, "retry_s": event.retry_s}
            return {"type": "link", "job_id": None, "data": link}


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
    """Say in a line where a job stands."""
    attempt = f", attempt {record.attempt}" if record.attempt > 1 else ""
    return f"job {record.job_id}: {record.state} ({record.engine}{attempt})"


def _previews(count: int) -> str:
    return "1 preview" if count == 1 else f"{count} previews"


def _tiles(progress: Progress) -> str:
    return f", {progress.done_tiles} of {progress.total_tiles} tiles" if progress.total_tiles else ""
