"""What the lines that a program prints mean: how much is done, and why it failed. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from cryomamba.engines.program_guard import NOT_STARTED, SIGNALLED
from cryomamba.printable import printable

_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d+)?)\s?%")
# "prog: error: …" as argparse writes it, "Error: …", "ValueError: …", "[ERROR] …".
_PREFIX: Final = re.compile(
    r"^(?:[\w.-]+: )?(?:\[?(?:fatal|error)\]?|[\w.]*(?:Error|Exception|Exit))[:\s]\s*", re.IGNORECASE
)
_PATH: Final = re.compile(r"(?:[A-Za-z]:)?(?:[/\\][^\s/\\'\":,;()]+)+[/\\]([^\s/\\'\":,;()]+)")
_TEXT_MAX: Final = 300
# By number, because Windows has no such signal.
_SIGKILL: Final = 9


def percentage(line: str) -> float | None:
    """Return the last percentage of a line as a fraction from 0 to 1, as of ``tqdm``; None if there is none."""
    found = _PERCENT.findall(line)
    return min(float(found[-1]) / 100, 1.0) if found else None


def last_sentence(lines: Iterable[str]) -> str:
    """Return the last line that is not blank, without what stands before a message and without folders."""
    last = next((text for line in reversed(list(lines)) if (text := line.strip())), "")
    text = _PREFIX.sub("", without_folders(last)).strip()
    return printable(text[:_TEXT_MAX]).rstrip(" .")


def without_folders(text: str) -> str:
    """Return a text with the file name alone of each path: where a server keeps its files is nobody's business."""
    return _PATH.sub(r"\1", text)


def failure(program: str, status: int, errors: Sequence[str], output: Sequence[str]) -> tuple[str, str]:
    """Return why a program failed, in a sentence, and what to do.

    Parameters
    ----------
    program : str
        Its name.
    status : int
        Exit status of :mod:`~cryomamba.engines.program_guard`, not 0.
    errors, output : sequence of str
        The last lines that it has written to standard error and to standard output.
    """
    name = Path(program).name
    log = "Its output is in the log of the inference service; a local run shows it with CRYOMAMBA_LOG=debug."
    if status > SIGNALLED:
        memory = "Linux kills programs when memory runs out. " if status - SIGNALLED == _SIGKILL else ""
        return f"The program '{name}' was ended by the signal {_signal_name(status - SIGNALLED)}.", memory + log
    why = last_sentence(errors) or last_sentence(output)
    if status == NOT_STARTED:
        return f"The program '{name}' could not be started: {why}.", "Install it again."
    if not why:
        return f"The program '{name}' failed with exit status {status} and without a message.", log
    return f"The program '{name}' failed: {why}.", log


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
