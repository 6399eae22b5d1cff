"""Half-tomograms: the pairs that reconstruction programs write from even and odd frames or tilts. Pure.

A half is named like its tomogram with a word more: ``TS_01_EVN.mrc``, ``TS_01_ODD_Vol.mrc``, ``odd/TS_01.mrc``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryomamba_cli.batch.session import Files, FileState

_HALF: Final = re.compile(r"(?:(?<=^)|(?<=[_.-]))(evn|even|odd)(?=[_.-]|$)", re.IGNORECASE)


class Halves(StrEnum):
    """What is segmented of a pair of half-tomograms: their mean, one of them, or each by itself."""

    AVERAGE = "average"
    EVEN = "even"
    ODD = "odd"
    SEPARATE = "separate"


def half_of(path: Path) -> tuple[Path, Halves] | None:
    """Return the tomogram of a half by its name, and which half it is; None if it is none.

    The word is that in the file name, or the name of its folder.
    """
    match = _HALF.search(path.name)
    if match is not None:
        # With the word goes one of the separators around it.
        before, after = path.name[: match.start()], path.name[match.end() :]
        name = before[:-1] + after if before else after[1:]
        return path.with_name(name), _which(match[1])
    match = _HALF.fullmatch(path.parent.name)
    return None if match is None else (path.parent.parent / path.name, _which(match[1]))


def _which(word: str) -> Halves:
    return Halves.ODD if word.lower() == "odd" else Halves.EVEN


def group_halves(volumes: Mapping[Path, FileState], choose: Callable[[Path], Halves]) -> dict[Path, Files]:
    """Return the tomograms that volumes are, each with its files.

    Where there is a tomogram besides its halves, it is taken as it is, and the halves are left out.

    Parameters
    ----------
    volumes : mapping of Path to FileState
    choose : callable
        Returns what is segmented of the halves of a tomogram.
    """
    found: dict[Path, dict[Path, FileState]] = {}
    for path, state in volumes.items():
        half = half_of(path)
        choice = Halves.SEPARATE if half is None else choose(half[0])
        if half is None or choice is Halves.SEPARATE:
            found.setdefault(path, {})[path] = state
        elif half[0] in volumes or choice not in {Halves.AVERAGE, half[1]}:
            continue
        else:
            found.setdefault(half[0], {})[path] = state
    return dict(found)
