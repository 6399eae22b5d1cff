"""Child processes that neither outlive their parent nor react to its signals."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """On Linux, have the kernel kill this process when its parent ends; elsewhere the closed pipe ends it.

    Parameters
    ----------
    parent : int
        Process id of the parent; if it has already ended, this process exits at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


@contextmanager
def uninterrupted_start() -> Iterator[None]:
    """Block Ctrl-C in processes started in this context until they can ignore it themselves.

    A terminal sends SIGINT to the whole process group; a process that is still importing would die with a traceback.
    """
    if sys.platform == "win32":
        yield
        return
    # The first process started also starts multiprocessing's resource tracker, which would unblock the signal again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_signals_to_parent() -> None:
    """Ignore Ctrl-C and SIGTERM, which a terminal or honcho sends to the whole process group; the parent decides.

    Child processes inherit this.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def leave_interrupt_to_parent() -> None:
    """Ignore Ctrl-C only."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
