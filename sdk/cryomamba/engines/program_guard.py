"""Runs a program for an engine, and ends it with everything that it has started when the engine's process ends.

A program of its own: ``python program_guard.py PROGRAM ARGUMENT...``. It needs the standard library alone, so that it
starts within milliseconds. The engine's process holds the other end of its standard input and never writes to it: its
end, by a cancel or because that process was killed, ends the program. The exit status is the program's; of one that a
signal has ended, 128 and the number of the signal, as in a shell.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

GRACE_S: Final = 2.0
"""How long a program that is asked to end may take; the service itself waits 5 s for a cancelled job."""
SIGNALLED: Final = 128
NOT_STARTED: Final = 127


def main(command: Sequence[str]) -> int:
    """Run the command until it has ended, or standard input has; return the exit status."""
    # The service has its processes ignore both, which programs inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    try:
        program = _start(command)
    except OSError as error:
        sys.stderr.write(f"{error.strerror or error}\n")
        return NOT_STARTED
    ended = threading.Event()
    threading.Thread(target=_end_with_input, args=(program, ended), daemon=True).start()
    status = program.wait()
    ended.set()
    _kill(program)
    return status if status >= 0 else SIGNALLED - status


def _end_with_input(program: subprocess.Popen[bytes], ended: threading.Event) -> None:
    # Not through `sys.stdin`, whose lock this thread would still hold when the interpreter ends.
    while os.read(0, 1):
        pass
    _terminate(program)
    if not ended.wait(GRACE_S):
        _kill(program)


if sys.platform == "win32":

    def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
        flags = subprocess.CREATE_NEW_PROCESS_GROUP
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, creationflags=flags)  # noqa: S603  # nosec B603

    def _terminate(program: subprocess.Popen[bytes]) -> None:
        _kill(program)

    def _kill(program: subprocess.Popen[bytes]) -> None:
        if program.poll() is None:
            tree = ["taskkill", "/F", "/T", "/PID", str(program.pid)]
            subprocess.run(tree, check=False, capture_output=True)  # noqa: S603  # nosec B603

else:

    def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
        # A group of its own, which ends as a whole.
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603  # nosec B603

    def _terminate(program: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(program.pid, signal.SIGTERM)

    def _kill(program: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(program.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
