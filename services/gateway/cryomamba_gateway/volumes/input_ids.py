"""Ids of the tomograms in the allowed input directories: their paths, in letters that are safe in a URL."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from cryomamba.errors import NotFoundError

PATH_MAX: Final = 4096
"""Bytes of a path, as on Linux."""
ID_MAX: Final = -(-PATH_MAX * 4 // 3)


def input_id(path: str) -> str:
    """Return the id of a path: base64url of its UTF-8, without padding. It is no secret, and no permission."""
    return urlsafe_b64encode(path.encode()).decode().rstrip("=")


def input_path(id_: str) -> str:
    """Return the path that an id stands for; whether it may be read is still to be checked.

    Raises
    ------
    NotFoundError
        It is no id.
    """
    try:
        path = urlsafe_b64decode(id_ + "=" * (-len(id_) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        path = ""
    # One id for one path: what is kept of a volume is kept by its id.
    if not path or "\0" in path or input_id(path) != id_:
        raise no_such_input()
    return path


def no_such_input() -> NotFoundError:
    """Return the error for an id of nothing."""
    return NotFoundError(
        "There is no tomogram with this id in the allowed input directories.",
        hint="GET /v1/inputs lists them with their ids.",
    )
