"""How long to wait between two tries."""

from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from cryomamba.client.backoff import pauses


@given(st.floats(0.01, 1), st.floats(1, 10), st.floats(0, 0.5))
def test_pauses_double_up_to_the_longest(first: float, longest: float, jitter: float) -> None:
    """Each is changed by no more than the jitter."""
    wanted = first
    for pause in islice(pauses(first, longest, jitter=jitter), 12):
        assert wanted * (1 - jitter) * 0.999 <= pause <= wanted * (1 + jitter) * 1.001
        wanted = min(wanted * 2, longest)


def test_no_pause_ends_after_the_time_is_up() -> None:
    """A caller that gets none gives up."""
    assert list(pauses(10.0, 10.0, within_s=1.0)) == []
    assert len(list(islice(pauses(0.1, 1.0, within_s=60.0), 5))) == 5
