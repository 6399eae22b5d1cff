"""The base classes of what travels between processes: records that are read and requests that are sent."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """The base of all records: immutable, and tolerant of fields that a newer peer adds."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Request(BaseModel):
    """The base of all requests: immutable, and strict about unknown fields, so that a typing error is seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")
