"""HEAD."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATHS = (
    "/v1/jobs",
    "/v1/jobs/{id}",
    "/jobs/{id}",
    "/v1/jobs/{id}/artifacts/mask.mrc",
    "/v1/jobs/{id}/preview",
    "/v1/jobs/00000000-0000-4000-8000-000000000000",
    "/v1/files",
    "/v1/healthz",
    "/v1/readyz",
    "/v1/server/info",
    "/metrics",
    "/openapi.json",
    "/docs",
)


async def test_head_is_get_without_the_body(services: Services, worker: Worker) -> None:
    """The same status, media type and ETag everywhere, and the length where it does not change with time."""
    job = await services.submit()
    await worker.finish(await worker.claim(), {"mask.mrc": b"0123456789"})
    for path in PATHS:
        url = path.format(id=job.job_id)
        whole, head = await services.http.get(url), await services.http.head(url)
        assert (head.status_code, head.content) == (whole.status_code, b""), url
        for name in ("Content-Type", "ETag", "Accept-Ranges"):
            assert head.headers.get(name) == whole.headers.get(name), (url, name)
        assert int(head.headers["Content-Length"]) > 0
        if "ETag" in whole.headers:
            assert head.headers["Content-Length"] == whole.headers["Content-Length"], url
