"""Signed links: good for one method, one path and one while."""

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
    """A signer at a fixed time."""
    return UrlSigner(tmp_path / "keys", clock=lambda: 1000.0)


def parts(url: str) -> tuple[str, str, str]:
    split = urlsplit(url)
    query = parse_qs(split.query)
    return unquote(split.path), query["expires"][0], query["signature"][0]


def test_a_link_is_good_for_get_and_head(signer: UrlSigner) -> None:
    """HEAD asks for the same as GET; anything else does not."""
    url, expires = signer.sign(PATH, lifetime_s=60)
    path, written, signature = parts(url)
    assert (path, int(written), expires) == (PATH, 1060, 1060)
    for method in ("GET", "HEAD", "get"):
        signer.check(path, method=method, expires=written, signature=signature)
    for method in ("PUT", "DELETE", "POST"):
        with pytest.raises(AccessError):
            signer.check(path, method=method, expires=written, signature=signature)


def test_its_end_cannot_be_moved(signer: UrlSigner, tmp_path: Path) -> None:
    """Another time of expiry needs another signature, and after the time there is no way in."""
    path, _, signature = parts(signer.sign(PATH, lifetime_s=60)[0])
    for expires in ("2000", "1060 ", "+1060", "01060", "1060.0", "", "1" * 30):
        with pytest.raises(AccessError):
            signer.check(path, method="GET", expires=expires, signature=signature)
    later = UrlSigner(tmp_path / "keys", clock=lambda: 1061.0)
    with pytest.raises(AccessError):
        later.check(path, method="GET", expires="1060", signature=signature)


def test_every_gateway_of_a_home_takes_it_and_no_other(signer: UrlSigner, tmp_path: Path) -> None:
    """The key is the home's."""
    path, expires, signature = parts(signer.sign(PATH)[0])
    UrlSigner(tmp_path / "keys", clock=lambda: 1000.0).check(path, method="GET", expires=expires, signature=signature)
    with pytest.raises(AccessError):
        UrlSigner(tmp_path / "other", clock=lambda: 1000.0).check(
            path, method="GET", expires=expires, signature=signature
        )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.text(max_size=80), expires=st.text(max_size=20), signature=st.text(max_size=80))
def test_nothing_made_up_is_taken(signer: UrlSigner, path: str, expires: str, signature: str) -> None:
    """Whatever stands in a link, it is refused by an error of ours."""
    with pytest.raises(AccessError):
        signer.check(path, method="GET", expires=expires, signature=signature)
