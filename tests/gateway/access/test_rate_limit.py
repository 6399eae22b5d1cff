"""Rate limits, with times that the test passes."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from cryomamba.errors import AccessError, ErrorCode
from cryomamba_gateway.access.rate_limit import TOKENS_KEPT, ConcurrencyLimit, RequestRate

Steps = st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=200)


@given(st.integers(1, 120), Steps)
def test_the_rate_is_never_exceeded(per_minute: int, pauses: list[float]) -> None:
    """In any interval at most a burst and the rate's share pass, and a caller that waits for Retry-After passes."""
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


def test_each_caller_has_its_own_bucket() -> None:
    """One caller does not use up another's rate, and callers that were inactive longest are forgotten."""
    rate = RequestRate(1)
    assert [rate.count(name, 0.0).retry_after_s for name in ("a", "b", "a")] == [0, 0, 60]
    for number in range(TOKENS_KEPT):
        rate.count(str(number), 1.0)
    assert rate.count("a", 1.0).retry_after_s == 0


def test_connections_are_released() -> None:
    """A connection counts until its holder ends, also with an error."""
    limit = ConcurrencyLimit(1)
    for _ in range(3):
        with contextlib.suppress(KeyError), limit.acquire("a"), limit.acquire("b"):
            assert _is_full(limit, "a")
            raise KeyError
    assert not _is_full(limit, "a")


def _is_full(limit: ConcurrencyLimit, caller: str) -> bool:
    try:
        with limit.acquire(caller):
            return False
    except AccessError as error:
        assert error.code is ErrorCode.RATE_LIMITED
        return True


def test_voxels_count_as_a_part_of_a_request() -> None:
    """A viewer that scrolls is not stopped by the limit on requests, but has one of its own."""
    rate = RequestRate(10)
    allowed = [not rate.count("ada", 0.0, cost=1 / 16).retry_after_s for _ in range(161)]
    assert allowed == [True] * 160 + [False]
    assert rate.count("ada", 0.0, cost=1 / 16).retry_after_s == 1
    assert rate.count("bob", 0.0).remaining == 9
