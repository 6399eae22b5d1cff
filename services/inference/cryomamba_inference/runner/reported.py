"""Long work in a thread of its own, so that its caller can report several times a second, whatever the work does."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TypeVar

from cryomamba.engines.api import ReportProgress
from cryomamba_inference.failures import cancelled_error

Output = TypeVar("Output")
_POLL_S = 0.1


def run_reported(work: Callable[[ReportProgress], Output], update: Callable[[float, str], None]) -> Output:
    """Run work that reports its progress; return its result.

    Parameters
    ----------
    work : callable
        Takes a function for the fraction that is done, and for what is done now.
    update : callable
        Called in this thread with the latest of both, several times a second. If it raises, the next report of the
        work does so too, and the error is raised here when the work has ended.
    """
    progress = _Latest()

    with ThreadPoolExecutor(1, thread_name_prefix="reported") as pool:
        future = pool.submit(copy_context().run, work, progress)
        try:
            while not wait([future], _POLL_S).done:
                update(progress.fraction, progress.doing)
        except BaseException:
            progress.stopped = True
            raise
    result = future.result()
    update(progress.fraction, progress.doing)
    return result


class _Latest:
    """What was reported last, across threads."""

    def __init__(self) -> None:
        self.fraction, self.doing = 0.0, ""
        self.stopped = False

    def __call__(self, fraction: float, doing: str = "", /) -> None:
        if self.stopped:
            raise cancelled_error()
        self.fraction, self.doing = fraction, doing or self.doing
