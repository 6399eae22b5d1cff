"""Ctrl-C and SIGTERM become one exception, so that a command can cancel its job before it ends."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from cryomamba_server.exit_codes import ExitCode


class Interrupted(BaseException):
    """A signal asked the program to end; raised in the main thread wherever it was."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    @property
    def exit_code(self) -> ExitCode:
        """The status that the shell expects."""
        return ExitCode.TERMINATED if self.signum == signal.SIGTERM else ExitCode.INTERRUPTED


class Interrupts:
    """Which signal has come, and whether it is to be raised now; made by :func:`interruptible`."""

    def __init__(self) -> None:
        self._held = False
        self._waiting: int | None = None

    def handle(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 (the signature of a handler)
        """Raise, or remember for the end of :meth:`held`; who asks twice means now."""
        if self._held and self._waiting is None:
            self._waiting = signum
        else:
            raise Interrupted(signum)

    def asked(self) -> bool:
        """Whether a signal waits for the end of :meth:`held`; for work that can stop by itself."""
        return self._waiting is not None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Put a signal off until the block ends: for a step that must not be cut in two, or that asks itself."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            if self._waiting is not None:
                signum, self._waiting = self._waiting, None
                raise Interrupted(signum)


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Raise :class:`Interrupted` on SIGINT and SIGTERM within the block. For the main thread."""
    interrupts = Interrupts()
    before = {signum: signal.signal(signum, interrupts.handle) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupts
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
