"""Jobs over HTTP."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobError
from cryomamba.volumes import write_volume

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize("prefix", ["/v1/jobs", "/jobs"])
@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"volume": {"shape": [8, 8, 8]}, "engine": "demo", "params": {"seconds": 1}, "name": " mine ", "priority": 5},
        {"volume_shape": [8, 8, 8], "volume_dtype": "float32", "has_volume": False, "params": {}},
    ],
)
async def test_every_form_of_a_submit_makes_a_job(
    services: Services, worker: Worker, prefix: str, body: object
) -> None:
    """An empty body, the present form and the older one are accepted, with and without /v1."""
    reply = await services.http.post(prefix, json=body) if body is not None else await services.http.post(prefix)
    assert reply.status_code == 201, reply.text
    made = reply.json()
    assert made["status"] == "created"
    assert made["state"] == "pending"
    assert reply.headers["Location"] == f"/v1/jobs/{made['job_id']}"
    assert (await services.http.get(reply.headers["Location"])).json()["job_id"] == made["job_id"]


async def test_a_mask_on_another_grid_is_refused_with_422(services: Services, worker: Worker) -> None:
    """The body names the field; a mask that fits is in the record."""
    folder = services.settings.home.parent
    for name, side in (("fits.mrc", 8), ("other.mrc", 9)):
        write_volume(folder / name, np.ones((8, 8, side), np.int8), 10.0)
    body = {"volume": {"shape": [8, 8, 8]}, "within": {"path": str(folder / "other.mrc")}}
    refused = await services.http.post("/v1/jobs", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_parameters")
    assert refused.json()["details"]["fields"][0]["field"] == "within"
    body["within"] = {"path": str(folder / "fits.mrc")}
    made = await services.http.post("/v1/jobs", json=body)
    assert (made.status_code, made.json()["within"]["name"]) == (201, "fits.mrc")
    body["within"] = {}
    assert (await services.http.post("/v1/jobs", json=body)).status_code == 400


async def test_a_repeated_submit_makes_one_job(services: Services, worker: Worker) -> None:
    """The Idempotency-Key decides; the same key for another request is a conflict."""
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first, second = [await services.http.post("/v1/jobs", json={"name": "a"}, headers=key) for _ in range(2)]
    assert first.json()["job_id"] == second.json()["job_id"]
    other = await services.http.post("/v1/jobs", json={"name": "b"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"volume": {"shape": [8, 8]}}, 400, "bad_request"),
        ({"volume": {"shape": [8, 8, 0]}}, 400, "bad_request"),
        ({"volume": {"shape": [8, 8, 8], "path": "a.mrc"}}, 400, "bad_request"),
        ({"volume": {}}, 400, "bad_request"),
        ({"volume": {"shape": [True, 8, 8]}}, 400, "bad_request"),
        ({"volume": {"shape": ["8", 8, 8]}}, 400, "bad_request"),
        ({"priority": "1"}, 400, "bad_request"),
        ({"priority": True}, 400, "bad_request"),
        ({"nonsense": 1}, 400, "bad_request"),
        ({"priority": 10**30}, 400, "bad_request"),
        ({"engine": "membran"}, 422, "unknown_engine"),
        ({"params": {"seconds": -1}}, 422, "invalid_parameters"),
        ({"params": {"seconds": 10**30}}, 422, "invalid_parameters"),
        ({"volume": {"path": "/etc/passwd"}}, 403, "path_forbidden"),
        ({"volume": {"path": "not-there.mrc"}}, 422, "volume_not_found"),
        ({"params": {"seconds": 1, "x": "y" * 25_000}}, 413, "too_large"),
    ],
)
async def test_an_invalid_submit_is_refused(
    services: Services, worker: Worker, body: object, status: int, code: str
) -> None:
    """Each mistake has its code and a hint, and nothing is queued."""
    reply = await services.http.post("/v1/jobs", json=body)
    assert (reply.status_code, reply.json()["code"]) == (status, code), reply.text
    assert reply.json()["hint"]
    assert (await services.http.get("/v1/jobs?state=pending")).json()["jobs"] == []


async def test_without_a_worker_there_is_no_engine(idle_services: Services) -> None:
    """A submit that no worker could run is a retryable error."""
    await idle_services.start_broker()
    await idle_services.start_gateway()
    reply = await idle_services.http.post("/v1/jobs")
    assert (reply.status_code, reply.json()["code"], reply.json()["retryable"]) == (503, "no_worker", True)
    assert "Retry-After" in reply.headers


async def test_the_listing_is_newest_first_in_pages(services: Services, worker: Worker) -> None:
    """A cursor leads through all jobs, each once; the state filters."""
    made = [(await services.submit(name=str(number))).job_id for number in range(5)]
    seen, cursor = [], None
    while True:
        params = {"limit": "2", "state": "pending"} | ({"cursor": cursor} if cursor else {})
        page = (await services.http.get("/v1/jobs", params=params)).json()
        seen += [job["job_id"] for job in page["jobs"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    assert (await services.http.get("/v1/jobs?state=running")).json()["jobs"] == []
    for wrong in ("state=odd", "limit=0", "limit=501", "limit=x", "states=running", "cursor=" + "x" * 201):
        assert (await services.http.get(f"/v1/jobs?{wrong}")).status_code == 400, wrong


async def test_the_listing_has_the_jobs_that_meet_every_condition(services: Services, worker: Worker) -> None:
    """State (several), engine, label, times and words in the query; a condition that does not fit is refused."""
    label = uuid.uuid4().hex
    first, second = [(await services.submit(name=f"{label} {number}")) for number in range(2)]
    await services.http.delete(f"/v1/jobs/{first.job_id}")

    async def listed(query: str) -> list[str]:
        reply = await services.http.get(f"/v1/jobs?{query}&search={label}")
        assert reply.status_code == 200, reply.text
        return [job["job_id"] for job in reply.json()["jobs"]]

    assert await listed("state=pending") == [second.job_id]
    assert await listed("state=pending&state=cancelled") == [second.job_id, first.job_id]
    assert await listed("engine=demo") == [second.job_id, first.job_id]
    assert await listed("engine=membrane") == []
    assert await listed(f"name={label}%200") == [first.job_id]
    assert await listed("owner=nobody") == []
    assert await listed("created_after=2026-01-01T00:00:00Z") == [second.job_id, first.job_id]
    assert await listed("created_before=2026-01-01T00:00:00%2B01:00") == []
    for wrong in (
        "created_after=2026-01-01T00:00:00",
        "created_before=x",
        "created_after=0.5",
        "name=",
        "engine=a/b",
        "owner=a%20b",
    ):
        reply = await services.http.get(f"/v1/jobs?{wrong}")
        assert (reply.status_code, reply.json()["details"]["fields"][0]["field"]) == (400, wrong.partition("=")[0])


async def test_an_unchanged_job_is_not_sent_again(services: Services, worker: Worker) -> None:
    """If-None-Match with the record's ETag gives 304 until the record changes."""
    job = await services.submit()
    path = f"/v1/jobs/{job.job_id}"
    etag = (await services.http.get(path)).headers["ETag"]
    same = await services.http.get(path, headers={"If-None-Match": f'"other", W/{etag}'})
    assert (same.status_code, same.content) == (304, b"")
    await services.http.delete(path)
    assert (await services.http.get(path, headers={"If-None-Match": etag})).status_code == 200


async def test_names_of_the_first_documentation_are_accepted(services: Services, worker: Worker) -> None:
    """The engine as `model`, the filter as `status`, and a `status` in the answer to a cancel."""
    made = await services.submit(model="demo", name=uuid.uuid4().hex)
    assert made.engine == "demo"
    refused = await services.http.post("/v1/jobs", json={"model": "no-such"})
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_engine")
    both = {"model": "no-such", "engine": "demo", "file_id": "no-such", "volume": {"shape": [8, 8, 8]}}
    assert (await services.http.post("/v1/jobs", json=both)).status_code == 201
    first = await services.http.post("/v1/jobs", json={"file_id": "no-such"})
    assert (first.status_code, first.json()["code"]) == (404, "not_found")
    page = (await services.http.get(f"/v1/jobs?status=pending&search={made.name}")).json()
    assert [job["job_id"] for job in page["jobs"]] == [made.job_id]
    assert (await services.http.get(f"/v1/jobs?status=running&search={made.name}")).json()["jobs"] == []
    path = f"/v1/jobs/{made.job_id}"
    assert (await services.http.delete(path)).json()["status"] == "cancelled"
    assert "status" not in (await services.http.get(path)).json()


@pytest.mark.parametrize(
    ("name", "shown"), [("a\x1b[2Jb", r"a\x1b[2Jb"), ("t\u202es1", r"t\u202es1"), ("1\n2", r"1\n2")]
)
async def test_a_name_that_cannot_be_shown_is_refused(
    services: Services, worker: Worker, name: str, shown: str
) -> None:
    """In words, with the characters escaped; spaces and line breaks around a name are dropped."""
    reply = await services.http.post("/v1/jobs", json={"name": name})
    (field,) = reply.json()["details"]["fields"]
    assert (reply.status_code, field["field"]) == (400, "name")
    assert field["problem"].endswith(f"it has characters that cannot be shown, here escaped: {shown}")
    assert (await services.submit(name=" Zellen 1 Å\n")).name == "Zellen 1 Å"


async def test_strokes_that_do_not_fit_together_are_invalid_parameters(services: Services, worker: Worker) -> None:
    """What keeps to the schema and has no meaning is refused with 422 and a sentence; what breaks it, with 400."""
    job = await services.submit()
    url = f"/v1/jobs/{job.job_id}/strokes"
    strokes = {"shape": [8, 8, 8], "labels": ["background", "ball"]}
    outside = {**strokes, "lines": [{"label": 1, "points": [[1, 1, 8]]}]}
    for body in (outside, {**strokes, "lines": [{"label": 2, "points": [[1, 1, 1]]}]}, {**strokes, "voxels": "?"}):
        reply = await services.http.put(url, json=body)
        assert (reply.status_code, reply.json()["code"]) == (422, "invalid_parameters"), reply.text
        assert reply.json()["message"].startswith("The strokes cannot be used: ")
    assert (await services.http.put(url, json={**strokes, "labels": ["background"]})).status_code == 400


async def test_the_answer_to_a_cancel_of_a_running_job_says_so(services: Services, worker: Worker) -> None:
    """It is still running until its worker has stopped."""
    job = await services.submit()
    await worker.claim()
    reply = (await services.http.delete(f"/v1/jobs/{job.job_id}")).json()
    assert (reply["status"], reply["state"], reply["cancel_requested"]) == ("cancelling", "running", True)


async def test_cancel_and_retry(services: Services, worker: Worker) -> None:
    """A pending job is cancelled at once and can be retried; a completed one refuses both."""
    job = await services.submit()
    path = f"/v1/jobs/{job.job_id}"
    assert (await services.http.delete(path)).json()["state"] == "cancelled"
    assert (await services.http.post(f"{path}/retry")).json()["state"] == "pending"
    claimed = await worker.claim()
    assert (await services.http.put(f"{path}/focus", json={"position": [1, 2.5, 3]})).status_code == 204
    await worker.finish(claimed, {})
    refused = await services.http.delete(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "job_final")
    assert (await services.http.post(f"{path}/retry")).status_code == 409


async def test_a_failed_job_has_its_error(services: Services, worker: Worker) -> None:
    """The record has the worker's error."""
    job = await services.submit()
    claimed = await worker.claim()
    error = JobError(code=ErrorCode.OUT_OF_MEMORY, message="Too little memory.", hint="Take a smaller tile.", attempt=1)
    await worker.fail(claimed, error)
    record = (await services.http.get(f"/v1/jobs/{job.job_id}")).json()
    assert record["state"] == "failed"
    assert record["errors"][0]["code"] == "out_of_memory"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/retry"),
        ("PUT", "/focus"),
        ("GET", "/preview"),
        ("GET", "/artifacts/mask.mrc"),
    ],
)
@pytest.mark.parametrize("job_id", [UNKNOWN, "a b", "x" * 65, "%00"])
async def test_an_unknown_job_is_not_found(services: Services, method: str, path: str, job_id: str) -> None:
    """In every request, whatever the id."""
    body = {"position": [0, 0, 0]} if method == "PUT" else None
    reply = await services.http.request(method, f"/v1/jobs/{job_id}{path}", json=body)
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


async def test_the_id_of_one_job_does_not_reach_another(services: Services, worker: Worker) -> None:
    """The first half of an id is not an id."""
    job = await services.submit()
    assert (await services.http.get(f"/v1/jobs/{job.job_id[:-1]}")).status_code == 404
