"""Checks a model in a process of its own: a network can compute without end, fill the memory, or crash its process."""

from __future__ import annotations

import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import psutil

from cryomamba_inference.limits import POLL_S, resident_nbytes
from cryomamba_inference.trained_models.check import CheckResult, check_model
from cryomamba_server.process_lifetime import die_with_parent, uninterrupted_start

SECONDS_MAX: Final = 900.0
"""For the largest window (:data:`~cryomamba.trained_models.description.WINDOW_VOXELS_MAX`) of a large network and its
test tensors on two cores."""
_MEMORY_SHARE: Final = 0.8
"""Of the memory that is free when the check begins."""


def check_bounded(path: Path, *, seconds: float = SECONDS_MAX, nbytes: float | None = None) -> CheckResult:
    """Check a model as :func:`~cryomamba_inference.trained_models.check.check_model` does, in bounded time and memory.

    Parameters
    ----------
    seconds : float
        After which the check is stopped.
    nbytes : float, optional
        Resident memory at which it is stopped; by default a share of what is free.
    """
    most = _MEMORY_SHARE * psutil.virtual_memory().available if nbytes is None else nbytes
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_check, args=(path, theirs, os.getpid()), name="cryomamba-check")
    with uninterrupted_start():
        process.start()
    theirs.close()
    until = time.monotonic() + seconds
    try:
        while not ours.poll(POLL_S):
            if time.monotonic() > until:
                return _stopped(f"it had not ended after {seconds:,.0f} s")
            if resident_nbytes(process.pid or 0) > most:
                return _stopped(f"it took more than {most / 1e9:,.1f} GB of memory")
        found: CheckResult = ours.recv()
    except EOFError:
        process.join()
        return _stopped(f"its process ended by itself (exit status {process.exitcode})")
    else:
        return found
    finally:
        process.kill()
        process.join()
        ours.close()


def _check(path: Path, pipe: Connection, parent: int) -> None:
    die_with_parent(parent)
    pipe.send(check_model(path))


def _stopped(why: str) -> CheckResult:
    return CheckResult(None, problems=(f"The check was stopped: {why}.",))
