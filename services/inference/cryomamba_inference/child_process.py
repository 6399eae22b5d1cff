"""A process that must not outlive its parent."""

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
    """Ask the kernel (Linux) to end this process when its parent ends; elsewhere the closed pipe must do.

    Parameters
    ----------
    parent : int
        Process id of the parent; if that one has already ended, so does this process.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


@contextmanager
def uninterrupted_start() -> Iterator[None]:
    """Let processes that are started within be deaf to Ctrl-C from their first moment, before they can ignore it.

    A terminal sends it to the whole group, and one that is still importing would die of it with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # The first start of all also starts multiprocessing's tracker, which would unblock the signal again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_signals_to_parent() -> None:
    """Ignore Ctrl-C and SIGTERM, which a terminal or honcho sends to the whole group; the parent decides.

    Processes that this one starts inherit it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def leave_interrupt_to_parent() -> None:
    """Ignore Ctrl-C only."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
