"""Which routes need a token, and where a request presents it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from cryomamba_gateway.access.auth import is_public, presented_token


@pytest.mark.parametrize("path", ["/v1/healthz", "/v1/readyz", "/docs", "/openapi.json", "/v1/files/a/b"])
def test_public_routes_are_read_only(path: str) -> None:
    """Nothing is changed without a token."""
    assert is_public("GET", path)
    assert not is_public("POST", path)
    for more in (f"{path}/", f"{path}/x", f"/{path}", path.upper(), f"{path}\n"):
        assert not is_public("GET", more)


@given(
    st.dictionaries(
        st.sampled_from(["authorization", "cookie"]), st.text(st.characters(max_codepoint=255), max_size=99)
    )
)
def test_any_header_gives_a_token_or_none(headers: dict[str, str]) -> None:
    """No header raises an error."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    token = presented_token(Headers(raw=raw))
    assert token is None or isinstance(token, str)


def test_the_header_takes_precedence_over_the_cookie() -> None:
    """A token in the Authorization header is used, whatever the cookie."""
    headers = Headers({"authorization": "bEaReR  abc ", "cookie": "x=1; cryomamba_token=def"})
    assert presented_token(headers) == "abc"
    assert presented_token(Headers({"cookie": "x=1; cryomamba_token=def"})) == "def"
    assert presented_token(Headers({"authorization": "Basic abc"})) is None
