"""Rules: which engine with which parameters for which tomograms of a watched folder."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from cryomamba.errors import InvalidRequestError
from cryomamba.models.base import Request
from cryomamba_cli.batch.halves import Halves

PositiveNumber = Annotated[float, Field(gt=0)]


class Rule(Request):
    """What is done with the tomograms whose paths match.

    Attributes
    ----------
    match : str
        A pattern for the path below the watched folder: ``*`` and ``?`` stay within a name, ``**`` does not. Without a
        slash it is for the file name, in any subfolder.
    skip : bool
        Whether these tomograms are left out.
    engine : str or None
        That of the command line if not given.
    parameters : dict
        Of the engine; those of the command line apply if neither these nor an engine are given.
    voxel_size_A : float or None
        Å, in place of the header's.
    halves : str or None
        What is segmented of half-tomograms; that of the command line if not given.
    """

    match: Annotated[str, Field(min_length=1)]
    skip: bool = False
    engine: str | None = None
    parameters: Annotated[dict[str, Any], Field(default_factory=dict)]
    voxel_size_A: PositiveNumber | None = None
    halves: Halves | None = None

    def matches(self, path: Path) -> bool:
        """Return whether the rule is for a tomogram, given its path below the watched folder."""
        text = path.as_posix() if "/" in self.match else path.name
        return re.fullmatch(glob_pattern(self.match), text, re.DOTALL) is not None


class Rules(Request):
    """A file of rules; the first that matches counts."""

    rule: tuple[Rule, ...] = ()

    def of(self, path: Path) -> Rule | None:
        """Return the rule for a tomogram."""
        return next((rule for rule in self.rule if rule.matches(path)), None)


def read_rules(path: Path) -> Rules:
    """Return the rules of a TOML file.

    Raises
    ------
    InvalidRequestError
        It cannot be read, or a rule is not valid; the message names the field.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidRequestError(
            f"The rules '{path}' cannot be read: {error}.", hint="Give a TOML file with tables [[rule]]."
        ) from None
    try:
        return Rules.model_validate(found)
    except ValidationError as error:
        problems = "; ".join(f"{_place(one['loc'])}: {one['msg']}" for one in error.errors())
        raise InvalidRequestError(
            f"The rules '{path}' are not valid: {problems}.",
            hint="A rule has 'match', and may have 'engine', 'parameters', 'voxel_size_A', 'halves' and 'skip'.",
        ) from None


def _place(loc: tuple[int | str, ...]) -> str:
    """Return where a problem is in words, with rules counted from 1."""
    if len(loc) > 1 and loc[0] == "rule":
        return f"rule {int(loc[1]) + 1}, {'.'.join(map(str, loc[2:]))}".rstrip(", ")
    return ".".join(map(str, loc))


def glob_pattern(pattern: str) -> str:
    """Return a pattern of paths as a regular expression."""
    translated = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return "".join(translated.get(part) or re.escape(part) for part in parts)
