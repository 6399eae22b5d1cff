"""Topics are counted by owner and limited."""

from __future__ import annotations

import logging

import pytest

from cryomamba_broker.topic_count import TopicCount


class Connection:
    """A connection that can be ended."""

    open = True

    def evict(self) -> None:
        self.open = False


def test_an_owner_has_so_many_topics_and_others_are_not_affected(caplog: pytest.LogCaptureFixture) -> None:
    """One more is refused and logged, once; another owner and the services still subscribe."""
    topics, connection = TopicCount(limit=2), Connection()
    with caplog.at_level(logging.WARNING):
        accepted = [topics.add(f"t{number}".encode(), "ada", connection) for number in range(4)]
    assert accepted == [True, True, False, False]
    assert len(caplog.records) == 1
    assert "'ada'" in caplog.text
    assert topics.add(b"t0", "bob", Connection())
    assert all(topics.add(f"g{number}".encode(), None, connection) for number in range(9))
    assert connection.open


def test_whoever_goes_on_is_disconnected() -> None:
    """ZeroMQ remembers also what is ignored, so the connection that asks for twice the limit is ended."""
    topics, connections = TopicCount(limit=2), [Connection() for _ in range(3)]
    for number in range(5):
        topics.add(f"t{number}".encode(), "ada", connections[number % 2])
    assert [one.open for one in connections] == [False, True, True]
    topics.add(b"t0", "ada", connections[2])
    assert topics.add(b"t9", "bob", connections[2])


def test_an_ended_subscription_makes_room() -> None:
    """So does a closed connection; a topic that is not held changes nothing, nor does one that is asked for twice."""
    topics, first, second = TopicCount(limit=2), Connection(), Connection()
    for _ in range(3):
        assert topics.add(b"a", "ada", first)
    assert topics.add(b"a", "ada", second)
    topics.remove(b"unknown", "ada", first)
    topics.remove(b"a", "bob", first)
    assert not topics.add(b"b", "ada", first)
    topics.remove(b"b", "ada", first)
    topics.remove(b"a", "ada", first)
    topics.remove(b"a", "ada", first)
    assert topics.add(b"b", "ada", first)
    assert not topics.add(b"c", "ada", first)
    first.open = False
    assert topics.add(b"c", "ada", second)
    topics.clear()
    assert topics.add(b"d", "ada", second)
    assert topics.add(b"e", "ada", second)
