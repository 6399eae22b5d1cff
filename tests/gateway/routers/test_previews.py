"""The newest preview over HTTP, as a frame and as an image."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from cryomamba.wire.webframe import MEDIA_TYPE, decode_web_frame

if TYPE_CHECKING:
    from tests.gateway.conftest import Mask, Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def path_of_preview(services: Services, worker: Worker, mask: Mask) -> str:
    """Run a job until its preview has arrived everywhere, and return the preview's path."""
    job = await services.submit()
    claimed = await worker.claim()
    async with services.socket(f"/v1/ws/jobs/{job.job_id}") as socket:
        await worker.publish(claimed, mask)
        await socket.read_type("preview")
    return f"/v1/jobs/{job.job_id}/preview"


async def test_the_frame_is_the_one_that_was_published(services: Services, worker: Worker, ball: Mask) -> None:
    """Mask, position and number are the worker's."""
    reply = await services.http.get(await path_of_preview(services, worker, ball))
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, MEDIA_TYPE)
    frame = decode_web_frame(reply.content)
    np.testing.assert_array_equal(frame.mask, ball)
    assert (frame.scale, frame.volume_shape, frame.seq, frame.labels) == ((2, 2, 2), (16, 20, 24), 1, {1: "ball"})


@pytest.mark.parametrize(
    ("query", "axis", "place"),
    [("", 0, 4), ("&axis=z&index=15", 0, 7), ("&axis=y&index=0", 1, 0), ("&axis=x&index=13", 2, 6)],
)
async def test_an_image_shows_the_slice(
    services: Services, worker: Worker, ball: Mask, query: str, axis: int, place: int
) -> None:
    """One pixel per preview voxel; the index counts slices of the tomogram; the background is transparent."""
    reply = await services.http.get(f"{await path_of_preview(services, worker, ball)}?format=png{query}")
    assert reply.headers["Content-Type"] == "image/png"
    picture = np.asarray(Image.open(io.BytesIO(reply.content)).convert("RGBA"))
    labels = ball.take(place, axis=axis)
    assert picture.shape[:2] == labels.shape
    np.testing.assert_array_equal(picture[..., 3] > 0, labels > 0)
    colours = {tuple(colour) for colour in picture[labels == 1]}
    assert len(colours) <= 1
    assert not colours & {tuple(colour) for colour in picture[labels == 2]}


@pytest.mark.parametrize("query", ["format=png&index=-1", "format=gif", "axis=w", "colour=red"])
async def test_invalid_slices_are_refused(services: Services, worker: Worker, ball: Mask, query: str) -> None:
    """With the error envelope."""
    reply = await services.http.get(f"{await path_of_preview(services, worker, ball)}?{query}")
    assert (reply.status_code, reply.json()["code"]) == (400, "bad_request")


async def test_a_slice_beyond_the_volume_is_refused(services: Services, worker: Worker, ball: Mask) -> None:
    """The request is well-formed, but this tomogram has no such slice; the hint has the limits."""
    reply = await services.http.get(f"{await path_of_preview(services, worker, ball)}?format=png&index=16")
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_parameters")
    assert "0 to 15" in reply.json()["hint"]


async def test_a_pending_job_has_no_preview(services: Services, worker: Worker) -> None:
    """That is a 404 with a hint."""
    job = await services.submit()
    reply = await services.http.get(f"/v1/jobs/{job.job_id}/preview")
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
