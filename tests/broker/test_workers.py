"""Workers and the catalogue of engines, and the checks of parameters against it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cryomamba.engines.info import EngineInfo
from cryomamba.errors import InvalidRequestError
from cryomamba.wire.requests import WorkerHello
from cryomamba_broker.workers import Workers

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def engine(name: str, **fields: Any) -> EngineInfo:
    return EngineInfo.model_validate({"name": name, "summary": "s", "parameters": {"type": "object"}, **fields})


def hello(worker: str, *engines: EngineInfo) -> WorkerHello:
    return WorkerHello(worker=worker, host="h", pid=1, version="0", engines=engines)


def test_an_engine_that_one_worker_can_run_stays_available() -> None:
    """A worker without the engine's extra does not take it away from one that has it."""
    workers = Workers((), silent_s=60)
    workers.hello(hello("a", engine("net")), at=NOW, steady=0)
    (info,) = workers.hello(hello("b", engine("net", available=False, reason="no torch")), at=NOW, steady=0)
    assert info.available
    assert workers.prune(61) == ["a", "b"]
    (info,) = workers.hello(hello("b", engine("net", available=False, reason="no torch")), at=NOW, steady=62)
    assert not info.available


def test_silent_workers_are_not_counted_and_their_engines_stay_known() -> None:
    """A job can be queued while no worker is there."""
    workers = Workers((), silent_s=60)
    workers.hello(hello("a", engine("net")), at=NOW, steady=0)
    workers.seen("a", at=NOW, steady=50, job_id="j")
    assert workers.prune(100) == []
    assert workers.infos()[0].job_id == "j"
    assert workers.prune(111) == ["a"]
    assert len(workers) == 0
    assert [info.name for info in workers.engines()] == ["net"]


def test_a_worker_that_is_heard_of_again_is_counted_again() -> None:
    """It was cut off for a while and knows of nothing, so it does not introduce itself anew."""
    workers = Workers((), silent_s=60)
    workers.hello(hello("a", engine("net")), at=NOW, steady=0)
    assert workers.prune(100) == ["a"]
    workers.seen("a", at=NOW, steady=200, job_id=None)
    assert [info.worker for info in workers.infos()] == ["a"]
    workers.seen("stranger", at=NOW, steady=200, job_id=None)
    assert len(workers) == 1


def test_there_is_one_default_engine() -> None:
    """An available engine that a worker calls default is it; without one, the first that can run."""
    workers = Workers((engine("a"), engine("b", default=True), engine("c", default=True)), silent_s=60)
    assert [info.name for info in workers.engines() if info.default] == ["b"]
    assert Workers((engine("a", available=False), engine("b")), silent_s=60).default() == "b"
    assert Workers((), silent_s=60).default() is None


def test_an_engine_with_a_broken_schema_is_listed_as_unavailable() -> None:
    """One engine's mistake does not keep the worker's other engines away."""
    workers = Workers((), silent_s=60)
    broken = engine("broken", parameters={"type": "no such type"})
    infos = workers.hello(hello("a", broken, engine("fine")), at=NOW, steady=0)
    assert [(info.name, info.available) for info in infos] == [("broken", False), ("fine", True)]
    assert "JSON schema" in infos[0].reason


def test_a_catalogue_that_no_message_could_carry_is_refused() -> None:
    """The descriptions are bounded, so that every client can always be told what there is."""
    workers = Workers((), silent_s=60)
    large = {"type": "object", "description": "x" * 15_000}
    for number in range(2):
        workers.hello(hello("a", engine(f"e{number}", parameters=large)), at=NOW, steady=0)
    with pytest.raises(InvalidRequestError):
        workers.hello(hello("a", engine("e3", parameters=large)), at=NOW, steady=0)
