"""The check of the Host header."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cryomamba_gateway.access.hosts import host_allowed, own_names


@given(st.text(max_size=80))
def test_only_own_names_and_addresses_are_allowed(header: str) -> None:
    """No header raises an error, and no other name passes."""
    names = own_names("127.0.0.1", ("em.example.org",))
    if host_allowed(header, names):
        lowered = header.lower()
        assert any(name in lowered for name in names) or any(sign.isdigit() or sign == ":" for sign in lowered)
