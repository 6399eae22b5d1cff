"""Signed URLs: each gives access to one file for a limited time, without a token.

The signature is an HMAC-SHA256 over method, path and expiry time, so it is valid for nothing else.
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
    """Signs URLs and checks signatures, with the key of a data directory, created on first use.

    Parameters
    ----------
    keys : Path
        Folder ``keys`` of the data directory.
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, keys: Path, *, clock: Callable[[], float] = time.time) -> None:
        make_private_folder(keys)
        self._key = read_or_make_secret(keys / "urls.key")
        self._clock = clock

    def sign(self, path: str, *, method: str = "GET", lifetime_s: float = LIFETIME_S) -> tuple[str, int]:
        """Return a path with expiry time and signature, to be appended to the address of a server.

        Parameters
        ----------
        path : str
            Not percent-encoded.
        method : str
            A URL for GET is valid for HEAD too.
        lifetime_s : float
            Seconds from now.

        Returns
        -------
        str
            Path and query.
        int
            Expiry time in seconds since 1970.
        """
        expires = int(self._clock() + lifetime_s)
        return f"{quote(path)}?expires={expires}&signature={self._signature(method, path, str(expires))}", expires

    def grant(self, path: str, *, lifetime_s: float) -> tuple[str, int]:
        """Return a text that grants reading everything below a path, to be put into it, and its expiry time.

        Programs that add names to a URL keep what is in its path, but not always its query.
        """
        expires = int(self._clock() + lifetime_s)
        return f"{expires}-{self._signature('GET', path, str(expires))}", expires

    def check_grant(self, path: str, grant: str) -> None:
        """Check a grant.

        Raises
        ------
        AccessError
            ``forbidden``: forged, made for another path, or expired.
        """
        expires, _, signature = grant.partition("-")
        self.check(path, method="GET", expires=expires, signature=signature)

    def check(self, path: str, *, method: str, expires: str, signature: str) -> None:
        """Check the signature of a request.

        Raises
        ------
        AccessError
            ``forbidden``: forged, signed for another file or method, or expired.
        """
        expected = self._signature(method, path, expires)
        genuine = hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
        if not genuine or not (expires.isascii() and expires.isdigit() and len(expires) <= _DIGITS_MAX):
            raise AccessError("The signature of the link is not valid.", hint="Request a new link.")
        if int(expires) < self._clock():
            raise AccessError("The link has expired.", hint="Request a new link.")

    def _signature(self, method: str, path: str, expires: str) -> str:
        verb = "GET" if method.upper() == "HEAD" else method.upper()
        message = "\n".join(("v1", verb, path, expires)).encode("utf-8", "replace")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()
