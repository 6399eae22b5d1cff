"""What is wrong with a field, in words for people, from the errors of pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

NO_SUCH_FIELD: Final = "there is no such field"


def field_problem(item: Mapping[str, Any]) -> str:
    """Return the problem that one of a validation error's items describes, without a full stop."""
    if item["type"] == "extra_forbidden":
        return NO_SUCH_FIELD
    return str(item["msg"]).removeprefix("Value error, ")
