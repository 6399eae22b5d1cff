"""Logs of a real stack: one id leads from the HTTP request through every service to the artifact."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from cryomamba.client import aconnect
from cryomamba.stack import SERVICES
from cryomamba.testing import DEADLINE_S, Stack, wait_until
from cryomamba.wire.trace_context import TraceContext, use_trace

pytestmark = pytest.mark.system

REQUEST_ID = "beamline-7.run_42"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = {"X-Request-ID": REQUEST_ID, "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
FORGED = 'x\n{"level":"error","message":"forged"}\r\x1b[2J\u2028\x9b31m\u202e'


def lines(stack: Stack, service: str) -> list[dict[str, Any]]:
    """Return the records of a service's log; every line must be a JSON object."""
    return [json.loads(line) for line in stack.log(service).splitlines()]


def audit_lines(stack: Stack) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (stack.home / "audit.jsonl").read_text("utf-8").splitlines()]


def run_cli(stack: Stack, *arguments: str) -> str:
    env = {**os.environ, "CRYOMAMBA_HOME": str(stack.home)}
    command = [sys.executable, "-m", "cryomamba_cli", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=DEADLINE_S).stdout


async def run_job(stack: Stack, token: str, body: dict[str, Any]) -> str:
    """Submit a job with a request id, wait for it with the client, download its mask, and return its id."""
    authorization = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=stack.http_url, headers=authorization, timeout=DEADLINE_S) as http:
        assert (await http.post("/v1/jobs", json=body | {"name": FORGED})).status_code == 400
        reply = await http.post("/v1/jobs", json=body, headers=HEADERS)
        assert (reply.status_code, reply.headers["X-Request-ID"]) == (201, REQUEST_ID)
        created = reply.json()
        assert created["request_id"] == REQUEST_ID
        async with await aconnect(stack.http_url, token=token) as client:
            await (await client.job(created["job_id"])).wait()
        download = f"/v1/jobs/{created['job_id']}/artifacts/mask.mrc"
        assert (await http.get(download, headers={"X-Request-ID": "download-1"})).status_code == 200
        assert (await http.get("/v1/jobs", headers={"X-Request-ID": FORGED.encode().hex() * 9})).is_success
    return str(created["job_id"])


@pytest.fixture
def logged(make_stack: Callable[..., Stack]) -> Stack:
    """A stack that logs JSON, with a token."""
    return make_stack(CRYOMAMBA_LOG="info,json")


async def test_an_id_leads_from_the_request_to_the_artifact(logged: Stack, tomogram: Path) -> None:
    """The id and trace of the request are fields in all services' logs, with job, owner, worker and attempt."""
    token = run_cli(logged, "tokens", "create", "ada").strip()
    logged.start().wait_ready()
    job_id = await run_job(logged, token, {"volume": {"path": str(tomogram)}, "engine": "threshold"})
    found = {
        service: [one for one in lines(logged, service) if one.get("request_id") == REQUEST_ID] for service in SERVICES
    }
    for service, records in found.items():
        assert records, service
        assert {one["trace_id"] for one in records} == {TRACE_ID}, service
        assert {one["job_id"] for one in records} == {job_id}, service
        assert {one["owner"] for one in records} == {"ada"}, service
    (access,) = (one for one in found["gateway"] if one["logger"] == "cryomamba.access")
    assert (access["method"], access["route"], access["status"]) == ("POST", "/v1/jobs", 201)
    events = [one["event"] for one in found["broker"] if "event" in one]
    assert events == ["job_created", "job_started", "job_completed"]
    assert {one["attempt"] for one in found["broker"] if one.get("event") == "job_completed"} == {1}
    assert {one["service"] for one in found["inference"]} == {"inference", "engine"}
    assert {(one["attempt"], one["engine"]) for one in found["inference"]} == {(1, "threshold")}
    assert len({one["worker"] for one in found["inference"]}) == 1
    assert "mask.mrc" in {one.get("artifact") for one in found["inference"]}
    assert not [one for service in SERVICES for one in lines(logged, service) if one["message"] == "forged"]


async def test_the_audit_log_says_who_did_what(logged: Stack, tomogram: Path) -> None:
    """One file has what was done over HTTP, over the bus and by commands, with who did it."""
    token = run_cli(logged, "tokens", "create", "ada").strip()
    logged.start().wait_ready()
    job_id = await run_job(logged, token, {"volume": {"path": str(tomogram)}, "engine": "threshold"})
    async with await aconnect(logged.bus_url) as client:
        with use_trace(TraceContext(request_id="clean-up")):
            await client.delete(job_id)
    (token_id,) = (one["token_id"] for one in audit_lines(logged) if one["action"] == "token.create")
    run_cli(logged, "tokens", "revoke", token_id)
    wait_until(lambda: len(audit_lines(logged)) >= 5, what="all entries")
    entries = [
        (one["action"], one["outcome"], one.get("actor"), one.get("job_id"), one.get("request_id"))
        for one in audit_lines(logged)
    ]
    ada = f"ada/{token_id}"
    assert entries == [
        ("token.create", "done", None, None, None),
        ("job.submit", "done", ada, job_id, REQUEST_ID),
        ("artifact.download", "done", ada, job_id, "download-1"),
        ("job.delete", "done", None, job_id, "clean-up"),
        ("token.revoke", "done", None, None, None),
    ]
    assert (logged.home / "audit.jsonl").stat().st_mode & 0o777 == 0o600
