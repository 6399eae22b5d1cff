"""The result of a check of ``doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check.

    Attributes
    ----------
    level : {'ok', 'warn', 'fail'}
        ``warn``: something is missing that not every machine needs. ``fail``: something does not work.
    what, message, hint : str
        What was checked, the result, and what to do about it: a command where there is one.
    """

    level: Level
    what: str
    message: str
    hint: str = ""
