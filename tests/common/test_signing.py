"""Signed URLs: valid for one method, one path and a limited time."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryomamba.errors import AccessError
from cryomamba_server.signing import UrlSigner

PATH = "/v1/files/0b9f5c1e/mask.mrc"


@pytest.fixture
def signer(tmp_path: Path) -> UrlSigner:
    """A signer with a fixed clock."""
    return UrlSigner(tmp_path / "keys", clock=lambda: 1000.0)


def parts(url: str) -> tuple[str, str, str]:
    split = urlsplit(url)
    query = parse_qs(split.query)
    return unquote(split.path), query["expires"][0], query["signature"][0]


def test_a_url_is_valid_for_get_and_head(signer: UrlSigner) -> None:
    """A URL signed for GET is valid for HEAD too, and for no other method."""
    url, expires = signer.sign(PATH, lifetime_s=60)
    path, written, signature = parts(url)
    assert (path, int(written), expires) == (PATH, 1060, 1060)
    for method in ("GET", "HEAD", "get"):
        signer.check(path, method=method, expires=written, signature=signature)
    for method in ("PUT", "DELETE", "POST"):
        with pytest.raises(AccessError):
            signer.check(path, method=method, expires=written, signature=signature)


def test_the_expiry_time_cannot_be_changed(signer: UrlSigner, tmp_path: Path) -> None:
    """Another expiry time needs another signature, and an expired URL is refused."""
    path, _, signature = parts(signer.sign(PATH, lifetime_s=60)[0])
    for expires in ("2000", "1060 ", "+1060", "01060", "1060.0", "", "1" * 30):
        with pytest.raises(AccessError):
            signer.check(path, method="GET", expires=expires, signature=signature)
    later = UrlSigner(tmp_path / "keys", clock=lambda: 1061.0)
    with pytest.raises(AccessError):
        later.check(path, method="GET", expires="1060", signature=signature)


def test_all_gateways_with_the_same_data_directory_accept_it(signer: UrlSigner, tmp_path: Path) -> None:
    """The signing key belongs to the data directory; a gateway with another one refuses the URL."""
    path, expires, signature = parts(signer.sign(PATH)[0])
    UrlSigner(tmp_path / "keys", clock=lambda: 1000.0).check(path, method="GET", expires=expires, signature=signature)
    with pytest.raises(AccessError):
        UrlSigner(tmp_path / "other", clock=lambda: 1000.0).check(
            path, method="GET", expires=expires, signature=signature
        )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.text(max_size=80), expires=st.text(max_size=20), signature=st.text(max_size=80))
def test_forged_urls_are_refused(signer: UrlSigner, path: str, expires: str, signature: str) -> None:
    """Whatever the parts of a URL are, the result is an access error and no other."""
    with pytest.raises(AccessError):
        signer.check(path, method="GET", expires=expires, signature=signature)
