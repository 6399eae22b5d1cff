"""Checks a trained model in a process of its own, so that a network that came from elsewhere cannot end the window."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryomamba.errors import ErrorCode, JobFailedError
from cryomamba.trained_models.packing import is_archive

_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """What ``cryomamba models check`` found, one sentence each.

    Attributes
    ----------
    problems : tuple of str
        Why the model cannot be used.
    notes : tuple of str
        What could not be checked.
    """

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def check_model(path: Path, is_cancelled: Callable[[], bool]) -> ModelCheck:
    """Check a folder or a weights file; of an archive, only what is read when it is added.

    Parameters
    ----------
    is_cancelled : callable
        Asked several times a second; the process is ended once it returns True.

    Raises
    ------
    JobFailedError
        ``cancelled``.
    """
    if is_archive(path.name):
        return ModelCheck(notes=("The network was not run, because the model is an archive.",))
    command = [sys.executable, "-m", "cryomamba_cli", "models", "check", "--json", str(path)]
    with subprocess.Popen(  # noqa: S603 (this program)  # nosec B603
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        while True:
            try:
                printed, errors = process.communicate(timeout=_POLL_S)
                break
            except subprocess.TimeoutExpired:
                if is_cancelled():
                    process.kill()
                    raise JobFailedError("The check was cancelled.", code=ErrorCode.CANCELLED) from None
    return parse_check(printed, errors)


def parse_check(printed: str, errors: str) -> ModelCheck:
    """Return the check from what the command printed; without a result, why it could not check."""
    try:
        found = json.loads(printed)
    except ValueError:
        lines = errors.strip().splitlines()
        why = lines[0] if lines else "the check ended without a result"
        return ModelCheck(notes=(f"The network was not run: {why}",))
    return ModelCheck(tuple(found["problems"]), tuple(found["notes"]))
