"""Records of jobs."""

from __future__ import annotations

import pytest

from cryomamba.models.jobs import Progress


@pytest.mark.parametrize("address", ["javascript:alert(1)", "http://a b", "http://a\nb", "https://" + "a" * 500])
def test_only_an_address_of_the_web_is_linked(address: str) -> None:
    """A worker cannot have a page link to a script, or to what is no address."""
    assert Progress(dashboard_url="http://10.1.2.3:8787/status").dashboard_url is not None
    with pytest.raises(ValueError, match="dashboard_url"):
        Progress(dashboard_url=address)
