"""Fields that every log record of a task carries, such as ``job_id``: bound once, where the work begins."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

from cryomamba.wire.trace_context import current_trace

_FIELDS: Final[ContextVar[Mapping[str, object]]] = ContextVar("cryomamba_log_fields", default=MappingProxyType({}))


@contextmanager
def bind(**fields: object) -> Iterator[None]:
    """Add fields to the records of the present task, and of the tasks that it starts, inside the block.

    Fields that are None are left out.
    """
    before = _FIELDS.set(_merged(fields))
    try:
        yield
    finally:
        _FIELDS.reset(before)


def add(**fields: object) -> None:
    """Add fields to the records of the present task from here on, to the end of the surrounding :func:`bind`."""
    _FIELDS.set(_merged(fields))


def bound() -> Mapping[str, object]:
    """Return the fields of the present task, with ``request_id`` and ``trace_id`` of its trace context."""
    trace = current_trace()
    named = {"request_id": trace.request_id, "trace_id": trace.trace_id}
    return {**_FIELDS.get(), **{name: value for name, value in named.items() if value is not None}}


def _merged(fields: Mapping[str, object]) -> Mapping[str, object]:
    return {**_FIELDS.get(), **{name: value for name, value in fields.items() if value is not None}}


class ContextFilter(logging.Filter):
    """Adds the bound fields to each record; a field that the record has already is kept."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields."""
        for name, value in bound().items():
            record.__dict__.setdefault(name, value)
        return True
