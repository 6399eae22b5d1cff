"""The pure parts of the door: buckets, places, hosts, and what a request presents."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from cryomamba.errors import AccessError, ErrorCode
from cryomamba_gateway.access.auth import is_public, presented_token
from cryomamba_gateway.access.hosts import host_allowed, own_names
from cryomamba_gateway.access.rate_limit import TOKENS_KEPT, ConcurrencyLimit, RequestRate

Steps = st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=200)


@given(st.integers(1, 120), Steps)
def test_no_more_pass_than_the_rate_allows(per_minute: int, pauses: list[float]) -> None:
    """Over any stretch at most a bucket's worth and the rate's share pass, and who waits as told passes."""
    rate, now, passed = RequestRate(per_minute), 0.0, 0
    for pause in pauses:
        now += pause
        allowance = rate.count("a", now)
        passed += not allowance.retry_after_s
        assert 0 <= allowance.remaining <= per_minute
        assert allowance.reset_s <= 61
    assert passed <= per_minute * (1 + now / 60) + 1e-6
    waited = rate.count("a", now)
    if waited.retry_after_s:
        assert not rate.count("a", now + waited.retry_after_s).retry_after_s


def test_callers_have_buckets_of_their_own() -> None:
    """One caller's haste is not another's, and those that were not heard of for long are forgotten."""
    rate = RequestRate(1)
    assert [rate.count(name, 0.0).retry_after_s for name in ("a", "b", "a")] == [0, 0, 60]
    for number in range(TOKENS_KEPT):
        rate.count(str(number), 1.0)
    assert rate.count("a", 1.0).retry_after_s == 0


def test_places_are_given_back() -> None:
    """A place is free again when its holder goes, however it goes."""
    places = ConcurrencyLimit(1)
    for _ in range(3):
        with contextlib.suppress(KeyError), places.acquire("a"), places.acquire("b"):
            assert _is_full(places, "a")
            raise KeyError
    assert not _is_full(places, "a")


def _is_full(places: ConcurrencyLimit, caller: str) -> bool:
    try:
        with places.acquire(caller):
            return False
    except AccessError as error:
        assert error.code is ErrorCode.RATE_LIMITED
        return True


@given(st.text(max_size=80))
def test_a_host_is_a_name_of_ours_or_an_address(header: str) -> None:
    """Whatever stands in the header is judged without an error, and no foreign name passes."""
    names = own_names("127.0.0.1", ("em.example.org",))
    if host_allowed(header, names):
        lowered = header.lower()
        assert any(name in lowered for name in names) or any(sign.isdigit() or sign == ":" for sign in lowered)


@pytest.mark.parametrize("path", ["/v1/healthz", "/v1/readyz", "/docs", "/openapi.json", "/v1/files/a/b"])
def test_public_addresses_are_for_looking(path: str) -> None:
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
def test_whatever_is_presented_is_read_without_an_error(headers: dict[str, str]) -> None:
    """Headers of any kind give a token or none."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    token = presented_token(Headers(raw=raw))
    assert token is None or isinstance(token, str)


def test_the_header_comes_before_the_cookie() -> None:
    """A program that says who it is, is that."""
    headers = Headers({"authorization": "bEaReR  abc ", "cookie": "x=1; cryomamba_token=def"})
    assert presented_token(headers) == "abc"
    assert presented_token(Headers({"cookie": "x=1; cryomamba_token=def"})) == "def"
    assert presented_token(Headers({"authorization": "Basic abc"})) is None
