"""Runs a program to its end, or until the job is cancelled, and hands on what it prints line by line."""

from __future__ import annotations

import logging
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from cryomamba.engines import program_guard
from cryomamba.engines.program_output import failure
from cryomamba.errors import ErrorCode, JobFailedError

log = logging.getLogger(__name__)

_POLL_S: Final = 0.1
_LAST_LINES: Final = 200
_CHUNK_NBYTES: Final = 1 << 16
_LINE_MAX: Final = 10_000
"""Characters of a line; what is beyond them is cut off."""
_LINE_END: Final = re.compile(r"[\r\n]+")
Line = tuple[bool, str]
"""Whether it was written to standard error, and the text."""


@dataclass(slots=True)
class _Printed:
    """The last lines that a program has printed."""

    output: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    errors: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))


def find_program(name: str) -> str | None:
    """Return the path of a program: beside the interpreter, where pip puts those of its environment, or on ``PATH``."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)


def run_program(
    command: Sequence[str], *, folder: Path, threads: int, on_line: Callable[[str], None], check: Callable[[], None]
) -> None:
    """Run a program; blocks until it has ended.

    Parameters
    ----------
    command : sequence of str
        The path of the program, and its arguments.
    folder : Path
        Its working directory.
    threads : int
        How many threads it may use; libraries that follow ``OMP_NUM_THREADS`` do.
    on_line : callable
        Called with each line that it prints; a carriage return ends one, as of progress bars.
    check : callable
        Called several times a second; raises to stop. The program, and all that it has started, is then ended: asked
        to, and killed after two seconds.

    Raises
    ------
    JobFailedError
        The program failed. The message is its last line on standard error.
    """
    # Python writes to a pipe in blocks, and progress would arrive when all is done.
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": str(threads)}
    process = subprocess.Popen(  # noqa: S603 (the program of an installed engine)  # nosec B603
        [sys.executable, "-I", "-S", program_guard.__file__, *command],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Ctrl-C at a terminal is for the engine's process to handle.
        start_new_session=True,
    )
    printed = _Printed()
    with process:
        try:
            _follow(process, printed, on_line, check)
        finally:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(2 * program_guard.GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
    if process.returncode:
        message, hint = failure(command[0], process.returncode, printed.errors, printed.output)
        said = "The program has printed:\n" + "\n".join([*printed.output, *printed.errors])
        log.info("%s %s", message, said)
        error = JobFailedError(message, code=ErrorCode.ENGINE_FAILED, hint=hint)
        error.add_note(said)
        raise error


def _follow(
    process: subprocess.Popen[bytes], printed: _Printed, on_line: Callable[[str], None], check: Callable[[], None]
) -> None:
    lines: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
    streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
    for stream in streams:
        is_error = stream is process.stderr
        threading.Thread(target=_read, args=(stream, is_error, lines), name="program-output", daemon=True).start()
    left = len(streams)
    while left:
        check()
        try:
            line = lines.get(timeout=_POLL_S)
        except queue.Empty:
            continue
        if line is None:
            left -= 1
            continue
        is_error, text = line
        (printed.errors if is_error else printed.output).append(text)
        on_line(text)


def _read(stream: IO[bytes], is_error: bool, lines: queue.SimpleQueue[Line | None]) -> None:
    rest = ""
    try:
        while chunk := os.read(stream.fileno(), _CHUNK_NBYTES):
            *complete, rest = _LINE_END.split(rest + chunk.decode("utf-8", "replace"))
            rest = rest[:_LINE_MAX]
            for line in complete:
                lines.put((is_error, line[:_LINE_MAX]))
        if rest:
            lines.put((is_error, rest))
    except (OSError, ValueError):
        # The stream was closed because the program was stopped.
        log.debug("The output of a program ended early.", exc_info=True)
    finally:
        lines.put(None)
