"""Health, readiness and metrics, with and without a broker."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING

import httpx
import pytest

from cryomamba.errors import UnavailableError
from cryomamba.testing import wait_until_async
from cryomamba_broker.store import Store

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _status(services: Services, path: str, expected: int) -> httpx.Response:
    async def answered() -> httpx.Response | None:
        reply: httpx.Response = await services.http.get(path)
        return reply if reply.status_code == expected else None

    found = await wait_until_async(answered, what=f"{path} to answer {expected}")
    assert found is not None
    return found


async def test_healthz_answers_without_a_broker(idle_services: Services) -> None:
    """The gateway's health does not depend on the other services."""
    await idle_services.start_gateway()
    reply = await idle_services.http.get("/v1/healthz")
    assert reply.status_code == 200
    body = reply.json()
    assert body["status"] == "OK"
    assert set(body) == {"status", "timestamp", "service", "version", "uptime_s"}


async def test_readyz_names_what_is_missing(idle_services: Services) -> None:
    """First the broker, then the worker, then nothing."""
    await idle_services.start_gateway()
    away = await idle_services.http.get("/v1/readyz")
    assert (away.status_code, away.json()["details"]["missing"]) == (503, ["broker"])
    assert int(away.headers["Retry-After"]) > 0
    await idle_services.start_broker()

    async def no_worker() -> bool:
        details = (await idle_services.http.get("/v1/readyz")).json().get("details", {})
        return bool(details.get("missing") == ["worker"])

    await wait_until_async(no_worker, what="the broker to be found")
    await idle_services.start_worker()
    ready = await _status(idle_services, "/v1/readyz", 200)
    assert ready.json()["workers"] == 1


async def test_a_damaged_store_is_not_ready(idle_services: Services) -> None:
    """The answer says that a backup must be restored, and not to try again."""
    broker = await idle_services.start_broker()
    await idle_services.start_gateway()
    await idle_services.start_worker()
    await _status(idle_services, "/v1/readyz", 200)
    with pytest.raises(UnavailableError):
        await broker.core.store.call(_meets_damage)
    for path in ("/v1/readyz", "/v1/server/info"):
        reply = await idle_services.http.get(path)
        body = reply.json()
        assert (reply.status_code, body["code"], body["retryable"]) == (503, "store_damaged", False)
        assert "restore" in body["hint"]
        assert "Retry-After" not in reply.headers
    assert (await idle_services.http.get("/v1/healthz")).status_code == 200


def _meets_damage(_: Store) -> None:
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    raise error


async def test_a_broker_that_moves_is_found_again(idle_services: Services) -> None:
    """After a restart on other ports, with 503 in between and no restart of the gateway."""
    services = idle_services
    await services.start_broker()
    await services.start_gateway()
    before = services.broker.endpoints.jobs
    await _status(services, "/v1/jobs", 200)
    await services.stop_broker()
    away = await _status(services, "/v1/jobs", 503)
    assert away.json()["code"] == "unavailable"
    assert away.json()["retryable"] is True
    await services.start_broker()
    assert (await _status(services, "/v1/jobs", 200)).json()["jobs"] == []
    assert services.broker.endpoints.jobs != before


async def test_metrics_of_requests_and_the_bus(services: Services) -> None:
    """Requests are counted by route template, never by path."""
    for path in ("/v1/jobs/0-not-there", "/jobs/0-not-there", "/v1/nonsense"):
        await _status(services, path, 404)
    counted = [f'method="GET",route="{route}",status="404"}}' for route in ("/v1/jobs/{job_id}", "/jobs/{job_id}")]

    async def reported() -> str:
        text = (await services.http.get("/metrics")).text
        return text if all(count in text for count in counted) else ""

    # An answer is counted when it has been sent, which the client may notice first.
    text = await wait_until_async(reported, what="both routes to be counted")
    assert 'route="unmatched",status="404"' in text
    assert "not-there" not in text
    assert "cryomamba_gateway_bus_connected 1.0" in text


async def test_metrics_of_jobs_workers_and_disk(services: Services, worker: Worker) -> None:
    """Pending, running and ended jobs, workers and free space; without a broker only the disk."""
    waiting = await services.submit()
    done = await worker.claim()
    assert done.job_id == waiting.job_id
    await services.submit()
    text = (await services.http.get("/metrics")).text
    for line in ('cryomamba_jobs{state="pending"} 1.0', 'cryomamba_jobs{state="running"} 1.0'):
        assert line in text
    # Workers of the tests before are counted until they have been silent for a while.
    assert float(re.search(r"\ncryomamba_workers (\S+)", text)[1]) >= 1  # type: ignore[index]
    before = float(re.search(r'jobs_ended_total{state="completed"} (\S+)', text)[1])  # type: ignore[index]
    await worker.finish(done, {})
    text = (await services.http.get("/metrics")).text
    assert f'cryomamba_jobs_ended_total{{state="completed"}} {before + 1}' in text


async def test_metrics_without_a_broker_are_those_of_the_gateway(idle_services: Services) -> None:
    """There are none of jobs, but those of the disk and the lost connection."""
    await idle_services.start_gateway()
    text = (await idle_services.http.get("/metrics")).text
    assert "cryomamba_jobs" not in text
    assert "cryomamba_gateway_bus_connected 0.0" in text
    assert float(re.search(r"\ncryomamba_disk_free_bytes (\S+)", text)[1]) > 0  # type: ignore[index]


async def test_server_info(services: Services, worker: Worker) -> None:
    """One call returns versions, engines, endpoints, the machine and the limits."""
    info = (await services.http.get("/v1/server/info")).json()
    assert [engine["name"] for engine in info["engines"]] == ["demo"]
    assert info["endpoints"]["events"] == services.broker.endpoints.events
    assert info["system"]["cpu_count"] >= 1
    assert info["limits"]["body_max_bytes"] == 1024 * 1024
