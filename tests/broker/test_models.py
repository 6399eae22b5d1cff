"""Trained models: what workers announce, which jobs are refused, and which worker gets a job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.broker.jobs import submit_job

from cryomamba.client.bus_requester import BusRequester
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import CryoMambaError, ErrorCode, NotFoundError
from cryomamba.models.jobs import JobPage
from cryomamba.models.model_listing import ListedModel, ModelPage, OfferedModel
from cryomamba.wire.requests import Claimed, WorkerHello

Connect = Callable[..., BusRequester]

NET = EngineInfo(
    name="onnx",
    summary="Runs networks.",
    parameters={"type": "object", "properties": {"model": {"type": "string", "choices_from": "models"}}},
    needs_volume=False,
)
MODEL: dict[str, Any] = {"kind": "onnx", "labels": {1: "membrane"}, "size_bytes": 5, "sha256": "a" * 64}


def model(name: str, **fields: Any) -> dict[str, Any]:
    """Return a model as a worker announces it."""
    return OfferedModel(**{**MODEL, "name": name, **fields}).model_dump(mode="json")


async def announce(worker: BusRequester, name: str, *models: dict[str, Any], first: bool = True) -> None:
    """Announce models as a worker of a name."""
    await worker.request("worker.models", {"worker": name, "models": list(models), "first": first})


async def registered(connect: Connect, name: str, *models: dict[str, Any]) -> BusRequester:
    """Return a registered worker with an engine for models, and some of them."""
    worker = connect(name)
    hello = WorkerHello(worker=name, host="here", pid=1, version="0", engines=(NET,))
    await worker.request("worker.hello", hello)
    await announce(worker, name, *models)
    return worker


async def listed(client: BusRequester, **fields: Any) -> ModelPage:
    """Return a page of the models."""
    return ModelPage.model_validate((await client.request("model.list", fields)).body)


async def claim(worker: BusRequester, name: str, wait_s: float) -> Claimed:
    """Claim a job as a worker of a name."""
    body = {"worker": name, "engines": ["onnx"], "wait_s": wait_s}
    return Claimed.model_validate((await worker.request("job.claim", body)).body)


async def refusal(client: BusRequester, **fields: Any) -> CryoMambaError:
    """Return the error with which a job is refused."""
    with pytest.raises(CryoMambaError) as caught:
        await submit_job(client, engine="onnx", **fields)
    return caught.value


async def test_models_are_listed_with_the_workers_that_have_them(connect: Connect, client: BusRequester) -> None:
    """One entry for each content under a name; a newer announcement replaces an older one, a further one adds."""
    one = await registered(connect, "one", model("net"))
    two = await registered(connect, "two", model("net"), model("other"))
    found = {entry.name: entry.workers for entry in (await listed(client)).models}
    assert found == {"net": ("one", "two"), "other": ("two",)}
    assert ListedModel.model_validate((await client.request("model.get", {"model": "net"})).body).workers == (
        "one",
        "two",
    )
    await announce(two, "two", model("third"))
    await announce(two, "two", model("fourth"), first=False)
    assert [entry.name for entry in (await listed(client)).models] == ["fourth", "net", "third"]
    await announce(one, "one")
    with pytest.raises(NotFoundError, match="There is no model 'net'"):
        await client.request("model.get", {"model": "net"})


async def test_a_listing_has_pages(connect: Connect, client: BusRequester) -> None:
    """A page ends early when a message is full, and the cursor continues it."""
    labels = {n: f"label number {n}" for n in range(1, 256)}
    models = [model(f"net{n:03}", labels=labels) for n in range(20)]
    worker = await registered(connect, "one", *models[:5])
    for begin in range(5, 20, 5):
        await announce(worker, "one", *models[begin : begin + 5], first=False)
    names, cursor = [], None
    while True:
        page = await listed(client, cursor=cursor)
        assert page.models
        names += [entry.name for entry in page.models]
        cursor = page.cursor
        if cursor is None:
            break
    assert names == [f"net{n:03}" for n in range(20)]
    assert [entry.name for entry in (await listed(client, limit=2, cursor="3")).models] == ["net003", "net004"]


async def test_a_job_for_a_model_that_no_worker_has_is_refused(connect: Connect, client: BusRequester) -> None:
    """At the submit, with a suggestion, and at the field of the form; a path is no model."""
    await registered(connect, "one", model("membranes"), model("spikes", kind="nnunet"))
    error = await refusal(client, params={"model": "membrane"})
    assert error.code is ErrorCode.UNKNOWN_MODEL
    assert "Did you mean 'membranes'?" in error.hint
    assert error.details["fields"][0]["field"] == "model"
    assert "engine 'nnunet'" in (await refusal(client, params={"model": "spikes"})).hint
    assert (await refusal(client, params={"model": ""})).code is ErrorCode.INVALID_PARAMETERS
    for path in ("/etc/passwd", "../membranes", "membranes/model.toml"):
        assert (await refusal(client, params={"model": path})).code is ErrorCode.UNKNOWN_MODEL
    page = JobPage.model_validate((await client.request("job.list", {})).body)
    assert page.jobs == ()


async def test_without_a_worker_no_model_is_known(client: BusRequester, connect: Connect, broker: Any) -> None:
    """A job that names a model is refused as something that may succeed later."""
    await registered(connect, "one", model("net"))
    broker.core.workers.prune(float("inf"))
    error = await refusal(client, params={"model": "net"})
    assert (error.code, error.retryable) == (ErrorCode.NO_WORKER, True)


async def test_different_models_of_one_name_are_refused(connect: Connect, client: BusRequester) -> None:
    """Which of them would run depends on which worker is free, so neither does."""
    await registered(connect, "one", model("net"))
    await registered(connect, "two", model("net", sha256="b" * 64))
    assert "different models" in (await refusal(client, params={"model": "net"})).message
    assert len((await listed(client)).models) == 2


async def test_a_job_waits_until_the_licence_is_accepted(connect: Connect, client: BusRequester) -> None:
    """A model whose licence was not accepted by all of its workers runs no job."""
    unaccepted = model("net", licence="CC-BY-NC-4.0", licence_accepted=False)
    one = await registered(connect, "one", unaccepted)
    await registered(connect, "two", {**unaccepted, "licence_accepted": True})
    error = await refusal(client, params={"model": "net"})
    assert error.code is ErrorCode.LICENCE_NOT_ACCEPTED
    assert "CC-BY-NC-4.0" in error.message
    await announce(one, "one", {**unaccepted, "licence_accepted": True})
    assert (await submit_job(client, engine="onnx", params={"model": "net"})).state == "pending"


async def test_a_job_goes_to_a_worker_that_has_its_model(connect: Connect, client: BusRequester) -> None:
    """A worker without the model gets no such job, until it announces the model: then its pending claim is answered."""
    one = await registered(connect, "one", model("net"))
    two = await registered(connect, "two", model("other"))
    record = await submit_job(client, engine="onnx", params={"model": "net"})
    assert (await claim(two, "two", wait_s=0)).job is None
    got = (await claim(one, "one", wait_s=0)).job
    assert got is not None
    assert got.job_id == record.job_id
    await submit_job(client, engine="onnx", params={"model": "net"}, client_key="second")
    waiting = asyncio.create_task(claim(two, "two", wait_s=60))
    await announce(two, "two", model("net"))
    assert (await waiting).job is not None


async def test_a_job_whose_model_is_gone_is_not_queued_again(connect: Connect, client: BusRequester) -> None:
    """It would wait for ever; with the model back, it is queued."""
    one = await registered(connect, "one", model("net"))
    record = await submit_job(client, engine="onnx", params={"model": "net"})
    await client.request("job.cancel", {"job": record.job_id})
    await announce(one, "one")
    with pytest.raises(CryoMambaError) as caught:
        await client.request("job.retry", {"job": record.job_id})
    assert caught.value.code is ErrorCode.UNKNOWN_MODEL
    await announce(one, "one", model("net"))
    assert (await client.request("job.retry", {"job": record.job_id})).body["state"] == "pending"


async def test_jobs_are_listed_by_their_model(connect: Connect, client: BusRequester) -> None:
    """So that a model is not removed while a job needs it."""
    await registered(connect, "one", model("net"), model("other"))
    record = await submit_job(client, engine="onnx", params={"model": "net"}, client_key="a")
    await submit_job(client, engine="onnx", params={"model": "other"}, client_key="b")
    page = JobPage.model_validate((await client.request("job.list", {"model": "net"})).body)
    assert [job.job_id for job in page.jobs] == [record.job_id]


async def test_only_a_registered_worker_announces(connect: Connect, client: BusRequester) -> None:
    """One that is unknown is told so, and registers again; too many models are refused."""
    with pytest.raises(NotFoundError):
        await announce(client, "nobody", model("net"))
    worker = await registered(connect, "one")
    small = [model(f"n{n}") for n in range(100)]
    for begin in range(10):
        await announce(worker, "one", *small, first=begin == 0)
    with pytest.raises(CryoMambaError) as caught:
        await announce(worker, "one", model("one-more"), first=False)
    assert caught.value.code is ErrorCode.TOO_LARGE


async def test_a_model_whose_engine_cannot_run_there_has_no_worker(connect: Connect, client: BusRequester) -> None:
    """A model is listed with the workers that can run it."""
    await registered(connect, "one", model("net", kind="nnunet"))
    assert [entry.workers for entry in (await listed(client)).models] == [()]
