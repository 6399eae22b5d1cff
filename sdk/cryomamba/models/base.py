"""The base classes of what travels between processes: records that are read and requests that are sent."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _require_number(value: object) -> object:
    if isinstance(value, (str, bytes, bool)):
        raise ValueError("Input should be a number")
    return value


# To annotate int and float: pydantic alone accepts "8" and true, which the published JSON schemas refuse.
JSON_NUMBER: Final = BeforeValidator(_require_number)


class Record(BaseModel):
    """The base of all records: immutable, and tolerant of fields that a newer peer adds."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Request(BaseModel):
    """The base of all requests: immutable, and strict about unknown fields, so that a typo is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
