"""Ctrl-C and SIGTERM raise an exception, so that a command can cancel its job before it ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ParamSpec

from cryomamba_server.exit_codes import ExitCode

P = ParamSpec("P")


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived; raised in the main thread, wherever it was."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    @property
    def exit_code(self) -> ExitCode:
        """The exit code by convention: 128 plus the number of the signal."""
        return ExitCode.TERMINATED if self.signum == signal.SIGTERM else ExitCode.INTERRUPTED


class Interrupts:
    """Signals that have arrived: raised at once, or after a deferred block. Made by :func:`interruptible`."""

    def __init__(self) -> None:
        self._deferring = False
        self._pending: int | None = None

    def handle(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 (the signature of a handler)
        """Raise, or remember for the end of :meth:`deferred`; a second signal raises at once."""
        if self._deferring and self._pending is None:
            self._pending = signum
        else:
            raise Interrupted(signum)

    def pending(self) -> bool:
        """Whether a signal waits for the end of :meth:`deferred`; for work that stops by itself when it is set."""
        return self._pending is not None

    def aborting(self, callback: Callable[P, None]) -> Callable[P, None]:
        """Return a progress callback that raises when a deferred signal is pending, and so aborts a long transfer."""

        def call(*args: P.args, **kwargs: P.kwargs) -> None:
            if self._pending is not None:
                raise Interrupted(self._pending)
            callback(*args, **kwargs)

        return call

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Defer signals to the end of the block, for a step that must not be interrupted or checks :meth:`pending`."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
            if self._pending is not None:
                signum, self._pending = self._pending, None
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
