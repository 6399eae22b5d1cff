"""Limits on requests."""

from typing import Final

BODY_MAX_BYTES: Final = 1024 * 1024
HEADERS_MAX_BYTES: Final = 32 * 1024
