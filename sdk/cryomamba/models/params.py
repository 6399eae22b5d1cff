"""Parameters of engines as they travel: what JSON and the bus can carry."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from pydantic import AfterValidator

from cryomamba.errors import ErrorCode, InvalidRequestError

PARAMS_MAX_BYTES: Final = 24 * 1024


def require_json_serializable(params: dict[str, Any]) -> dict[str, Any]:
    """Refuse parameters that JSON or the bus cannot carry.

    Raises
    ------
    InvalidRequestError
        ``invalid_parameters``: bytes, times, NaN, text that is not Unicode, deep nesting, or integers beyond 64 bits;
        ``too_large``: more than 24 KiB.
    """
    try:
        nbytes = len(json.dumps(params, allow_nan=False, ensure_ascii=False).encode())
        serializable = _integers_fit(params)
    except (TypeError, ValueError, RecursionError):
        serializable, nbytes = False, 0
    if not serializable:
        raise InvalidRequestError(
            "The parameters contain a value that JSON cannot represent.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint="Use Unicode text, booleans, finite numbers, integers of at most 64 bits, lists and maps.",
        )
    if nbytes > PARAMS_MAX_BYTES:
        raise InvalidRequestError(
            f"The parameters take {nbytes:,} bytes; {PARAMS_MAX_BYTES:,} are allowed.",
            code=ErrorCode.TOO_LARGE,
            hint="Leave out what the engine does not need.",
        )
    return params


def _integers_fit(value: object) -> bool:
    if isinstance(value, dict):
        return all(_integers_fit(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_integers_fit(item) for item in value)
    return not isinstance(value, int) or -(2**63) <= value < 2**63


Params = Annotated[dict[str, Any], AfterValidator(require_json_serializable)]
