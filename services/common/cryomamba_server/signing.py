"""Signed URLs: whoever has one may fetch one file for a while, without a token.

The signature is HMAC-SHA256 over method, path and time of expiry, so it is good for nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cryomamba.access.private_files import make_private_folder, read_or_make_secret
from cryomamba.errors import AccessError

LIFETIME_S: Final = 3600
_DIGITS_MAX: Final = 12


class UrlSigner:
    """Makes and checks signed URLs with the home's own key, made on first use.

    Parameters
    ----------
    keys : Path
        ``<home>/keys``.
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, keys: Path, *, clock: Callable[[], float] = time.time) -> None:
        make_private_folder(keys)
        self._key = read_or_make_secret(keys / "urls.key")
        self._clock = clock

    def sign(self, path: str, *, method: str = "GET", lifetime_s: float = LIFETIME_S) -> tuple[str, int]:
        """Return a path with its expiry and signature, ready to be put behind a server's address.

        Parameters
        ----------
        path : str
            As it is routed, without percent signs.
        method : str
            GET, which HEAD is taken for, or another one.
        lifetime_s : float
            Seconds from now.

        Returns
        -------
        str
            Path and query.
        int
            When it expires, in seconds since 1970.
        """
        expires = int(self._clock() + lifetime_s)
        return f"{quote(path)}?expires={expires}&signature={self._signature(method, path, str(expires))}", expires

    def check(self, path: str, *, method: str, expires: str, signature: str) -> None:
        """Let a signed request pass.

        Raises
        ------
        AccessError
            ``forbidden``: forged, made for another file or method, or expired.
        """
        right = self._signature(method, path, expires)
        genuine = hmac.compare_digest(right.encode(), signature.encode("utf-8", "replace"))
        if not genuine or not (expires.isascii() and expires.isdigit() and len(expires) <= _DIGITS_MAX):
            raise AccessError("The link's signature does not fit.", hint="Ask for a fresh link.")
        if int(expires) < self._clock():
            raise AccessError("The link has expired.", hint="Ask for a fresh link.")

    def _signature(self, method: str, path: str, expires: str) -> str:
        asked = "GET" if method.upper() == "HEAD" else method.upper()
        message = "\n".join(("v1", asked, path, expires)).encode("utf-8", "replace")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()
