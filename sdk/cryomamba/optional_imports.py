"""Libraries that only some machines have: imported when they are needed, or named with the way to get them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from cryomamba.errors import ErrorCode, InvalidRequestError


def import_optional(name: str) -> ModuleType:
    """Import a library of the ``server`` extra, or say how to get it.

    Raises
    ------
    InvalidRequestError
        ``engine_unavailable``: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InvalidRequestError(
            f"This needs the library {name.partition('.')[0]}, which is not installed here.",
            code=ErrorCode.ENGINE_UNAVAILABLE,
            hint="Install it with: pip install 'cryomamba[tomo]'.",
        ) from error


@contextmanager
def requires_extra(extra: str) -> Iterator[None]:
    """Turn a failing import inside a ``with`` block into an error that names the extra to install.

    Raises
    ------
    InvalidRequestError
        ``engine_unavailable``: a package is missing.
    """
    try:
        yield
    except ImportError as error:
        raise InvalidRequestError(
            f"The package {error.name or error} is not installed here.",
            code=ErrorCode.ENGINE_UNAVAILABLE,
            hint=f"Install it with: pip install 'cryomamba[{extra}]'.",
        ) from error
