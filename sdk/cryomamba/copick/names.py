"""Names in copick projects. Pure.

Object, user and session are parts of file names that underscores separate, so they have none; of a run's name, which is
that of a folder, only what file systems refuse is replaced.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cryomamba.errors import InvalidRequestError

USER: Final = "cryomamba"
SESSION: Final = "0"
"""copick's number for what was made by a tool."""
_FORBIDDEN: Final = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\s_]')
_FORBIDDEN_IN_FOLDERS: Final = re.compile(r'[<>:"/\\|?*#@\x00-\x1f\x7f\s]')
_MULTILABEL: Final = "-multilabel"


@dataclass(frozen=True, slots=True)
class Annotation:
    """What identifies segmentations and picks of a run: object, user or program, and session."""

    name: str
    user: str = USER
    session: str = SESSION

    @property
    def uri(self) -> str:
        """``OBJECT:USER/SESSION``, as copick's own commands write it."""
        return f"{self.name}:{self.user}/{self.session}"


def copick_name(text: str) -> str:
    """Return a name for an object, user or session: blanks, underscores and what file names cannot have become dashes.

    Raises
    ------
    InvalidRequestError
        Nothing is left of it.
    """
    return _require(_FORBIDDEN.sub("-", text).strip("-"), text)


def run_name(text: str) -> str:
    """Return a name for a run, with characters that a folder cannot have, and ``#`` and ``@``, replaced by dashes.

    Raises
    ------
    InvalidRequestError
        Nothing is left of it.
    """
    return _require(_FORBIDDEN_IN_FOLDERS.sub("-", text).strip("-. "), text)


def annotation_of(text: str) -> Annotation:
    """Return the annotation that ``OBJECT``, ``OBJECT:USER`` or ``OBJECT:USER/SESSION`` names.

    Raises
    ------
    InvalidRequestError
        A part is empty, or the object has an ending that copick keeps for segmentations of several objects.
    """
    name, _, rest = text.partition(":")
    user, _, session = rest.partition("/")
    found = Annotation(copick_name(name), copick_name(user or USER), copick_name(session or SESSION))
    if found.name.endswith(_MULTILABEL):
        raise InvalidRequestError(
            f"An object cannot be called '{found.name}': copick marks segmentations of several objects in this way.",
            hint="Choose another name.",
        )
    return found


def _require(name: str, text: str) -> str:
    if not name:
        raise InvalidRequestError(
            f"'{text}' is not a valid name in copick.", hint="Use letters, digits, dots and dashes."
        )
    return name
