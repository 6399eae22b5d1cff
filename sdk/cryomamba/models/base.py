"""The base classes of what travels between processes: records that are read and requests that are sent."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints


def _require_number(value: object) -> object:
    if isinstance(value, (str, bytes, bool)):
        raise ValueError("Input should be a number")
    return value


# To annotate int and float: pydantic alone accepts "8" and true, which the published JSON schemas refuse.
JSON_NUMBER: Final = BeforeValidator(_require_number)


JobId = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z-]+$")]


def is_none(value: object) -> bool:
    """Whether a value is None: for fields that are left out then, with ``exclude_if``."""
    return value is None


class Record(BaseModel):
    """The base of all records: immutable, and tolerant of fields that a newer peer adds."""

    # A record is sent with all its fields, and its schema says so.
    model_config = ConfigDict(frozen=True, extra="ignore", json_schema_serialization_defaults_required=True)


class Request(BaseModel):
    """The base of all requests: immutable, and strict about unknown fields, so that a typo is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
