"""Workers and the catalogue of engines, and the checks of parameters against it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cryomamba.engines.info import EngineInfo
from cryomamba.errors import AccessError, InvalidRequestError
from cryomamba.wire.requests import WorkerHello
from cryomamba_broker.workers import WORKERS_PER_KEY_MAX, Workers

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def engine(name: str, **fields: Any) -> EngineInfo:
    return EngineInfo.model_validate({"name": name, "summary": "s", "parameters": {"type": "object"}, **fields})


def hello(worker: str, *engines: EngineInfo) -> WorkerHello:
    return WorkerHello(worker=worker, host="h", pid=1, version="0", engines=engines)


def test_an_engine_that_one_worker_can_run_stays_available() -> None:
    """A worker on which an engine cannot run does not hide it on one where it can."""
    workers = Workers((), silent_s=60)
    workers.hello(hello("a", engine("net")), at=NOW, steady=0)
    (info,) = workers.hello(hello("b", engine("net", available=False, reason="no torch")), at=NOW, steady=0)
    assert info.available
    assert workers.prune(61) == ["a", "b"]
    (info,) = workers.hello(hello("b", engine("net", available=False, reason="no torch")), at=NOW, steady=62)
    assert not info.available


def test_silent_workers_are_dropped_and_their_engines_stay_known() -> None:
    """A job can be queued while no worker is connected."""
    workers = Workers((), silent_s=60)
    workers.hello(hello("a", engine("net")), at=NOW, steady=0)
    workers.seen("a", at=NOW, steady=50, job_id="j")
    assert workers.prune(100) == []
    assert workers.infos()[0].job_id == "j"
    assert workers.prune(111) == ["a"]
    assert len(workers) == 0
    assert [info.name for info in workers.engines()] == ["net"]


def test_a_dropped_worker_that_sends_again_is_listed_again() -> None:
    """It did not notice that its connection was interrupted, so it does not register again."""
    workers = Workers((), silent_s=60)
    workers.hello(hello("a", engine("net")), at=NOW, steady=0)
    assert workers.prune(100) == ["a"]
    workers.seen("a", at=NOW, steady=200, job_id=None)
    assert [info.worker for info in workers.infos()] == ["a"]
    workers.seen("unknown", at=NOW, steady=200, job_id=None)
    assert len(workers) == 1


def test_there_is_one_default_engine() -> None:
    """It is an available engine that a worker marks as default, or else the first available one."""
    workers = Workers((engine("a"), engine("b", default=True), engine("c", default=True)), silent_s=60)
    assert [info.name for info in workers.engines() if info.default] == ["b"]
    assert Workers((engine("a", available=False), engine("b")), silent_s=60).default() == "b"
    assert Workers((), silent_s=60).default() is None


def test_an_engine_with_a_broken_schema_is_listed_as_unavailable() -> None:
    """One engine's mistake does not affect the worker's other engines."""
    workers = Workers((), silent_s=60)
    broken = engine("broken", parameters={"type": "no such type"})
    infos = workers.hello(hello("a", broken, engine("fine")), at=NOW, steady=0)
    assert [(info.name, info.available) for info in infos] == [("broken", False), ("fine", True)]
    assert "JSON schema" in infos[0].reason


def test_a_catalogue_that_does_not_fit_into_a_message_is_refused() -> None:
    """The size of all descriptions is limited, so that every client can read the catalogue."""
    workers = Workers((), silent_s=60)
    large = {"type": "object", "description": "x" * 15_000}
    for number in range(2):
        workers.hello(hello("a", engine(f"e{number}", parameters=large)), at=NOW, steady=0)
    with pytest.raises(InvalidRequestError):
        workers.hello(hello("a", engine("e3", parameters=large)), at=NOW, steady=0)


def test_a_key_has_so_many_workers_and_others_are_not_affected() -> None:
    """Beyond its limit a key registers no further name; those of other keys register, and stay known while silent."""
    workers = Workers((), silent_s=60)
    workers.hello(hello("other"), at=NOW, steady=0, key="K")
    assert workers.prune(100) == ["other"]
    for turn in range(5):
        at = 200.0 * (turn + 1)
        for number in range(WORKERS_PER_KEY_MAX):
            workers.hello(hello(f"w{turn}-{number}"), at=NOW, steady=at, key="L")
        with pytest.raises(InvalidRequestError, match="with this key"):
            workers.hello(hello("more"), at=NOW, steady=at, key="L")
        workers.hello(hello(f"w{turn}-0"), at=NOW, steady=at, key="L")
        workers.seen("w0-5", at=NOW, steady=at, job_id=None)
        assert len(workers) == WORKERS_PER_KEY_MAX
        workers.hello(hello(f"another{turn}"), at=NOW, steady=at, key="M")
        workers.prune(at + 100)
    with pytest.raises(AccessError, match="another key"):
        workers.require_own_name("other", "L")
    for number in range(2 * WORKERS_PER_KEY_MAX):
        workers.hello(hello(f"open{number}"), at=NOW, steady=2000)
