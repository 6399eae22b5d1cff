"""Topics never leak into one another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryomamba.errors import ProtocolError
from cryomamba.wire.topics import Topic, event_topic, owned_topic, parse_topic, preview_topic, sync_topic

job_ids = st.text(
    st.characters(codec="ascii", categories=("Lu", "Ll", "Nd"), include_characters="-"), min_size=1, max_size=40
)


@given(job_ids, job_ids)
def test_no_topic_is_a_prefix_of_anothers(one: str, other: str) -> None:
    """A subscription to one job gets nothing of another, whatever their ids."""
    assert preview_topic(other).startswith(preview_topic(one)) == (one == other)


@given(job_ids, st.text("0123456789abcdef", min_size=1, max_size=32))
def test_topics_are_read_back(job_id: str, nonce: str) -> None:
    """What was made is taken apart into the same pieces."""
    assert parse_topic(preview_topic(job_id)) == Topic("preview", job_id)
    assert parse_topic(event_topic(job_id)) == Topic("event", job_id)
    assert parse_topic(sync_topic(event_topic(job_id), nonce)) == Topic("event", job_id, nonce)
    assert parse_topic(sync_topic(b"v1/event/", nonce)) == Topic("event", "", nonce)
    assert parse_topic(owned_topic("a.b@c", job_id)) == Topic("event", job_id, None, "a.b@c")
    assert parse_topic(sync_topic(owned_topic("ada"), nonce)) == Topic("event", "", nonce, "ada")


@given(job_ids, job_ids, job_ids)
def test_one_owners_topic_leads_to_no_other(one: str, other: str, job_id: str) -> None:
    """A subscription to one owner's jobs gets none of another's, whatever their names."""
    assert owned_topic(other, job_id).startswith(owned_topic(one)) == (one == other)


@given(st.binary(max_size=60))
def test_anything_else_is_refused(raw: bytes) -> None:
    """Random bytes are a topic of this version or a ProtocolError."""
    try:
        topic = parse_topic(raw)
    except ProtocolError:
        return
    assert topic.kind in {"preview", "event"}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"v1/",
        b"v1/preview/x",
        b"v2/preview/x/",
        b"sync/",
        b"sync//v1/event/x/",
        b"v1/event//",
        b"v1/owned/",
        b"v1/owned//",
    ],
)
def test_near_misses_are_refused(raw: bytes) -> None:
    """A missing slash, an empty id or nonce and another version are not topics."""
    with pytest.raises(ProtocolError):
        parse_topic(raw)
