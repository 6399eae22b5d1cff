"""References to what is in a copick project: ``copick:CONFIG#RUN/URI``, the URI being copick's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryomamba.copick.entries import Entry, EntryKind
from cryomamba.copick.project import Project
from cryomamba.errors import InvalidRequestError, NotFoundError

PREFIX: Final = "copick:"
_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference; without run and URI it means the whole project.

    Attributes
    ----------
    config : Path
    run : str
    uri : str
        ``TYPE@SPACING``, ``OBJECT:USER/SESSION@SPACING`` or ``OBJECT:USER/SESSION``; parts may be missing.
    """

    config: Path
    run: str = ""
    uri: str = ""


def is_reference(location: str | os.PathLike[str]) -> bool:
    """Return whether a location is a reference and not a path."""
    return os.fspath(location).startswith(PREFIX)


def parse_reference(text: str | os.PathLike[str]) -> Reference:
    """Return the parts of a reference.

    Raises
    ------
    InvalidRequestError
        It names no configuration.
    """
    config, _, entry = os.fspath(text).removeprefix(PREFIX).rpartition("#")
    if not config:
        config, entry = entry, ""
    if not config:
        raise InvalidRequestError(
            f"'{text}' does not name a copick project.",
            hint="Write copick:CONFIG#RUN/TYPE@SPACING, for example copick:config.json#TS_01/wbp@10.",
        )
    # On Windows a reference that was a path has other slashes.
    run, _, uri = entry.replace("\\", "/").partition("/")
    return Reference(Path(config), run, uri)


def resolve(text: str | os.PathLike[str], *kinds: EntryKind) -> Entry:
    """Return the one entry that a reference means.

    Parameters
    ----------
    text : str or path-like
    *kinds : {'tomogram', 'segmentation', 'picks'}
        What is accepted; of several, the first kind with a match.

    Raises
    ------
    NotFoundError
        There is no such project, run or entry; the message lists what there is.
    InvalidRequestError
        Several entries match.
    """
    reference = parse_reference(text)
    project = Project.open(reference.config)
    if reference.run not in project.runs:
        listed = ", ".join(project.runs[:_SHOWN]) or "none"
        raise NotFoundError(
            f"The copick project '{project.path}' has no run '{reference.run}'; its runs: {listed}.",
            hint="Write copick:CONFIG#RUN/TYPE@SPACING; 'cryomamba info copick:CONFIG' lists everything.",
        )
    entries = list(project.entries(reference.run))
    for kind in kinds:
        found = [entry for entry in entries if entry.kind == kind and entry.matches(reference.uri)]
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidRequestError(
                f"'{reference.uri or reference.run}' means several: {_listed(found)}.", hint="Give one of them in full."
            )
    there = [entry for entry in entries if entry.kind in kinds]
    raise NotFoundError(
        f"The run '{reference.run}' has no {' or '.join(kinds)} '{reference.uri}'; it has {_listed(there)}.",
        hint="Give one of them, or look with 'cryomamba info copick:CONFIG'.",
    )


def _listed(entries: list[Entry]) -> str:
    shown = ", ".join(entry.uri for entry in entries[:_SHOWN]) or "none"
    return shown + (", …" if len(entries) > _SHOWN else "")
