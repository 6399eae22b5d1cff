"""Which jobs a listing should have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, TypedDict

from pydantic import AwareDatetime, BeforeValidator, Field, StringConstraints

from cryomamba.engines.info import EngineName
from cryomamba.models.base import Request
from cryomamba.models.jobs import NAME_MAX, JobState, Owner
from cryomamba.models.trained_models import ModelName

SEARCH_WORDS_MAX = 16

_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=NAME_MAX)]


def _as_sequence(value: object) -> object:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


def _require_date(value: object) -> object:
    # A number would be taken for seconds since 1970, which always have a time zone.
    if isinstance(value, datetime) or (isinstance(value, str) and "-" in value[1:]):
        return value
    raise ValueError("Input should be a time as in 2026-11-30T12:00:00Z")


def _is_unset(value: object) -> bool:
    return value is None or value == ()


Time = Annotated[AwareDatetime, BeforeValidator(_require_date)]
States = Annotated[tuple[JobState, ...], BeforeValidator(_as_sequence)]
"""Some states; one alone may be given without brackets."""


class JobConditions(TypedDict, total=False):
    """The fields of :class:`JobFilter` as keyword arguments of a client's ``jobs``."""

    state: JobState | Sequence[JobState] | None
    engine: str | None
    model: str | None
    owner: str | None
    name: str | None
    created_after: datetime | None
    created_before: datetime | None
    search: str | None


class JobFilter(Request):
    """A job is listed if it meets every condition that is set."""

    # An older server refuses fields that it does not know.
    state: States = Field(
        (), max_length=len(JobState), exclude_if=_is_unset, description="Only jobs in this state, or in one of these."
    )
    engine: EngineName | None = Field(None, exclude_if=_is_unset, description="Only jobs of this engine.")
    model: ModelName | None = Field(None, exclude_if=_is_unset, description="Only jobs that use this trained model.")
    owner: Owner | None = Field(
        None, exclude_if=_is_unset, description="Only jobs of this owner, of those that the caller may see."
    )
    name: _Name | None = Field(None, exclude_if=_is_unset, description="Only jobs with exactly this label.")
    created_after: Time | None = Field(
        None, exclude_if=_is_unset, description="Only jobs submitted after this time, with time zone."
    )
    created_before: Time | None = Field(
        None, exclude_if=_is_unset, description="Only jobs submitted before this time, with time zone."
    )
    search: Annotated[str, StringConstraints(max_length=NAME_MAX)] | None = Field(
        None,
        exclude_if=_is_unset,
        description="Only jobs in whose id, label, volume, engine or owner each of these words occurs; upper and lower "
        "case of A to Z are the same.",
    )

    @property
    def words(self) -> list[str]:
        """The words of `search`; those after the first 16 are left out."""
        return (self.search or "").split()[:SEARCH_WORDS_MAX]
