"""Descriptions of volumes, the uploaded file itself, and slices as images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from cryomamba.volumes import MaskWriter, blank_header, write_volume

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def upload(services: Services, content: bytes, name: str) -> str:
    reply = await services.http.put(f"/v1/files?filename={name}", content=content)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["file_id"])


def tomogram(path: Path) -> bytes:
    """Return a file whose density rises along y from −100 to 100."""
    ramp = np.linspace(-100, 100, 90, dtype=np.float32)[None, :, None]
    write_volume(path, np.broadcast_to(ramp, (20, 90, 70)).copy(), 9.0)
    return path.read_bytes()


async def test_a_file_describes_itself_and_comes_back(services: Services, tmp_path: Path) -> None:
    """Levels, contrast and addresses; the bytes are those that were sent, also in parts, and not sent twice."""
    content = tomogram(tmp_path / "ts.mrc")
    file_id = await upload(services, content, "ts.mrc")
    found = (await services.http.get(f"/v1/files/{file_id}")).json()
    assert (found["filename"], found["size_bytes"], found["metadata"]["shape"]) == (
        "ts.mrc",
        len(content),
        [20, 90, 70],
    )
    volume = found["volume"]
    assert (volume["kind"], volume["dtype"], volume["zarr_path"]) == ("tomogram", "float32", "")
    assert [level["shape"] for level in volume["levels"]] == [[20, 90, 70], [20, 45, 35]]
    assert volume["levels"][1]["voxel_size_A"] == [9.0, 18.0, 18.0]
    assert volume["contrast_limits"] == pytest.approx([-100, 100], abs=2)
    assert (await services.http.get(f"{found['zarr']['v0_5']}/zarr.json")).status_code == 200
    assert (await services.http.get(f"{found['zarr']['v0_4']}/.zattrs")).status_code == 200

    whole = await services.http.get(found["url"])
    assert whole.content == content
    assert whole.headers["ETag"] == f'"{found["sha256"]}"'
    part = await services.http.get(found["url"], headers={"Range": "bytes=1024-1030"})
    assert (part.status_code, part.content) == (206, content[1024:1031])
    known = await services.http.get(found["url"], headers={"If-None-Match": whole.headers["ETag"]})
    assert (known.status_code, known.content) == (304, b"")
    for path in (f"/v1/files/{file_id}", found["url"], volume["slice_url"]):
        assert (await services.http.head(path)).status_code == 200


async def test_a_slice_is_an_image_with_the_given_contrast(services: Services, tmp_path: Path) -> None:
    """Black at `low`, white at `high`, at most as large as asked; the browser may keep it."""
    file_id = await upload(services, tomogram(tmp_path / "ts.mrc"), "ts.mrc")
    reply = await services.http.get(f"/v1/files/{file_id}/slice?low=-100&high=100")
    assert reply.headers["Content-Type"] == "image/png"
    assert "immutable" in reply.headers["Cache-Control"]
    image = np.asarray(Image.open(io.BytesIO(reply.content)))
    assert image.shape == (90, 70)
    assert image.dtype == np.uint8
    assert np.array_equal(image[:, 0], np.rint(np.linspace(0, 255, 90)))
    small = Image.open(io.BytesIO((await services.http.get(f"/v1/files/{file_id}/slice?axis=x&size=32")).content))
    assert small.size == (30, 7)
    known = {"If-None-Match": reply.headers["ETag"]}
    again = await services.http.get(f"/v1/files/{file_id}/slice?low=-100&high=100", headers=known)
    assert again.status_code == 304
    assert (await services.http.get(f"/v1/files/{file_id}/slice?low=-100&high=99", headers=known)).status_code == 200


@pytest.mark.parametrize(
    ("query", "status", "part"),
    [
        ("index=20", 422, "from 0 to 19"),
        ("low=5&high=5", 422, "above 'low'"),
        ("low=nan", 400, ""),
        ("axis=w", 400, ""),
        ("size=100000", 400, ""),
    ],
)
async def test_an_impossible_slice_is_explained(
    services: Services, tmp_path: Path, query: str, status: int, part: str
) -> None:
    """The error says what would be possible."""
    file_id = await upload(services, tomogram(tmp_path / "ts.mrc"), "ts.mrc")
    reply = await services.http.get(f"/v1/files/{file_id}/slice?{query}")
    assert reply.status_code == status
    assert part in reply.json()["hint"]


async def test_a_jobs_mask_is_shown_in_its_colours(services: Services, worker: Worker, tmp_path: Path) -> None:
    """The slice of a mask has the colours of previews on a transparent background."""
    labels = np.zeros((8, 10, 12), np.uint8)
    labels[4, 2:5] = 1
    with MaskWriter(tmp_path / "mask.mrc", blank_header(labels.shape, 9.0), labels=1, engine="x") as writer:
        writer.write(0, 0, 0, labels)
    job = await services.submit()
    await worker.finish(await worker.claim(), {"mask.mrc": (tmp_path / "mask.mrc").read_bytes(), "stats.json": b"{}"})
    listed = (await services.http.get(f"/v1/jobs/{job.job_id}/volumes")).json()
    assert [(one["kind"], one["zarr_path"]) for one in listed["volumes"]] == [("labels", "labels/mask")]
    reply = await services.http.get(listed["volumes"][0]["slice_url"])
    image = np.asarray(Image.open(io.BytesIO(reply.content)).convert("RGBA"))
    assert image.shape == (10, 12, 4)
    assert np.array_equal(image[..., 3] > 0, labels[4] > 0)
    assert tuple(image[2, 0]) == (238, 136, 43, 255)
    for name in ("tomogram", "stats.json", "mask_r9.mrc"):
        assert (await services.http.get(f"/v1/jobs/{job.job_id}/volumes/{name}/slice")).status_code == 404
