"""The requests of a client in both forms."""

from __future__ import annotations

import pytest

from cryomamba.client.calls import header_key, job_path
from cryomamba.errors import NotFoundError


def test_keys_fit_into_a_header() -> None:
    """Plain ones as they are, others as their hash, always the same."""
    assert header_key("abc-1") == "abc-1"
    for odd in ("é", "a b", "x" * 201, "a\r\nb", "\ud800"):
        assert header_key(odd) == header_key(odd)
        assert header_key(odd).isalnum()
        assert len(header_key(odd)) == 64


@pytest.mark.parametrize("odd", ["", "a/b", "..", "a b", "é", "x" * 65])
def test_odd_ids_never_become_a_path(odd: str) -> None:
    """They are not found, without asking."""
    with pytest.raises(NotFoundError):
        job_path(odd)
