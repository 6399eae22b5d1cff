"""Topics are counted by owner and limited."""

from __future__ import annotations

import logging

import pytest

from cryomamba_broker.topic_count import TopicCount


def test_an_owner_has_so_many_topics_and_others_are_not_affected(caplog: pytest.LogCaptureFixture) -> None:
    """One more is refused and logged, once; another owner and the services still subscribe."""
    topics = TopicCount(limit=2)
    with caplog.at_level(logging.WARNING):
        accepted = [topics.add(f"t{number}".encode(), "ada") for number in range(4)]
    assert accepted == [True, True, False, False]
    assert len(caplog.records) == 1
    assert "'ada'" in caplog.text
    assert topics.add(b"t0", "bob")
    assert all(topics.add(f"g{number}".encode(), None) for number in range(9))


def test_an_ended_subscription_makes_room() -> None:
    """Also if several hold the topic; what was never counted changes nothing; a new socket begins with none."""
    topics = TopicCount(limit=1)
    assert topics.add(b"a", "ada")
    assert topics.add(b"a", "bob")
    topics.remove(b"unknown")
    assert not topics.add(b"b", "ada")
    topics.remove(b"a")
    topics.remove(b"a")
    topics.remove(b"a")
    assert topics.add(b"b", "ada")
    assert not topics.add(b"c", "ada")
    topics.clear()
    assert topics.add(b"c", "ada")
