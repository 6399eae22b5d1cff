"""Tomograms and masks as OME-Zarr over real HTTP, read by zarr-python and by a validator."""

from __future__ import annotations

import asyncio
import gzip
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import mrcfile
import numpy as np
import PIL.Image
import pytest
import yaozarrs
import zarr

from cryomamba.testing import wait_until_async
from cryomamba.volumes import MaskWriter, open_volume, write_volume
from cryomamba.volumes.binning import read_level
from cryomamba.volumes.halving import halved
from cryomamba.volumes.multiscale import levels_of
from cryomamba_gateway.volumes import open_images

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

FORMATS = {"0.5": 3, "0.4": 2}
ALL = slice(None)
# Two chunks along z, y and x, and levels of which z is not halved.
SHAPE = (40, 150, 140)


def tomogram(path: Path, dtype: str = "int16", shape: tuple[int, int, int] = SHAPE) -> Path:
    """Write a tomogram of noise with voxels that are not cubic, away from the origin."""
    values = np.random.default_rng(len(dtype)).normal(0, 40, shape).round()
    with mrcfile.new(path) as file:
        file.set_data(values.astype(dtype))
        file.voxel_size = (10.0, 11.0, 13.48)
        file.header.origin = (100.0, -20.5, 7.25)
    return path


async def upload(services: Services, path: Path, **more: Any) -> str:
    """Upload a file and return its id."""
    reply = await services.http.put(
        f"/v1/files?filename={path.name}", content=await asyncio.to_thread(path.read_bytes), **more
    )
    assert reply.status_code == 201, reply.text
    return str(reply.json()["file_id"])


async def opened(url: str, version: str) -> zarr.Group:
    """Open a hierarchy with zarr-python, in a thread because the gateway runs in this one."""
    pytest.importorskip("aiohttp")
    return await asyncio.to_thread(lambda: zarr.open_group(url, mode="r", zarr_format=FORMATS[version]))  # type: ignore[arg-type]


async def values(group: zarr.Group, path: str) -> Any:
    """Read an array whole."""
    array = await asyncio.to_thread(group.__getitem__, path)
    assert isinstance(array, zarr.Array)
    return await asyncio.to_thread(array.__getitem__, ALL)


def multiscale(group: zarr.Group, version: str) -> Any:
    """Return the description of an image."""
    found: Any = group.attrs.asdict()
    return found["ome"]["multiscales"][0] if version == "0.5" else found["multiscales"][0]


@pytest.mark.parametrize("version", ["0.5", "0.4"])
@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float32", "float16"])
async def test_zarr_reads_the_voxels_of_the_file(services: Services, tmp_path: Path, dtype: str, version: str) -> None:
    """Every voxel equals mrcfile's, in its type, at the position that the header gives; so do binned levels."""
    path = tomogram(tmp_path / "ts.mrc", dtype)
    file_id = await upload(services, path)
    group = await opened(f"{services.url}/v1/zarr/{version}/files/{file_id}.ome.zarr", version)
    expected = mrcfile.read(path)
    read = await values(group, "0")
    # Viewers in browsers cannot read float16, so it is widened.
    assert read.dtype == np.dtype("float32" if dtype == "float16" else dtype)
    assert np.array_equal(read, expected)

    image = multiscale(group, version)
    assert image["axes"] == [{"name": axis, "type": "space", "unit": "angstrom"} for axis in "zyx"]
    steps = [dataset["coordinateTransformations"] for dataset in image["datasets"]]
    assert [step[0]["scale"] for step in steps] == [[13.48, 11.0, 10.0], [13.48, 22.0, 20.0], [13.48, 44.0, 40.0]]
    assert [step[1]["translation"] for step in steps] == [
        [7.25, -20.5, 100.0],
        [7.25, -15.0, 105.0],
        [7.25, -4.0, 115.0],
    ]
    with open_volume(path) as volume:
        for number, level in enumerate(levels_of(SHAPE)):
            assert np.array_equal(await values(group, str(number)), read_level(volume, level, ALL, ALL, ALL))
    assert sorted(group.array_keys()) == ["0", "1", "2"]


@pytest.mark.parametrize("version", ["0.5", "0.4"])
async def test_a_job_has_its_masks_as_labels(services: Services, worker: Worker, tmp_path: Path, version: str) -> None:
    """The tomogram is the image, finished masks are its labels; before, a hint says where the mask grows."""
    path = tomogram(tmp_path.parent / f"{tmp_path.name}.mrc")
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 70:73, :] = 2
    masks = {}
    for name in ("mask", "scores", "uncertainty"):
        with open_volume(path) as like, MaskWriter(tmp_path / name, like, labels=2, engine="x", what=name) as writer:
            writer.write(0, 0, 0, labels)
        masks[f"{name}.mrc"] = (tmp_path / name).read_bytes()
    file_id = await upload(services, path)
    job = await services.submit(volume={"file_id": file_id}, engine="demo")
    base = f"/v1/zarr/{version}/jobs/{job.job_id}.ome.zarr"
    metadata = "zarr.json" if version == "0.5" else ".zattrs"

    early = await services.http.get(f"{base}/labels/mask/{metadata}")
    assert early.status_code == 404
    assert "pending" in early.json()["hint"]
    assert (await services.http.get(f"{base}/{metadata}")).status_code == 200
    claimed = await worker.claim()
    await worker.finish(claimed, masks)
    assert (await services.http.get(f"{base}/labels/mask/{metadata}")).status_code == 200

    group = await opened(services.url + base, version)
    read = await values(group, "labels/mask/0")
    assert read.dtype == np.uint8
    assert np.array_equal(read, labels)
    assert np.all((await values(group, "labels/mask/2"))[:, 17:19].max(axis=1) == 2)
    for name in ("scores", "uncertainty"):
        assert np.array_equal(await values(group, f"{name}/0"), labels)
    listed = (await services.http.get(f"/v1/jobs/{job.job_id}/volumes")).json()["volumes"]
    kinds = {volume["zarr_path"]: volume["kind"] for volume in listed}
    assert kinds == {"": "tomogram", "labels/mask": "labels", "scores": "scores", "uncertainty": "uncertainty"}
    mask: Any = await asyncio.to_thread(group.__getitem__, "labels/mask")
    assert multiscale(mask, version)["datasets"] == multiscale(group, version)["datasets"]
    own = mask.attrs.asdict()
    about = own["ome"]["image-label"] if version == "0.5" else own["image-label"]
    assert about["source"] == {"image": "../../"}
    assert about["colors"][0]["label-value"] == 1
    found = await asyncio.to_thread(yaozarrs.validate_zarr_store, services.url + base)
    assert found.ome_version() == version
    await asyncio.to_thread(yaozarrs.validate_zarr_store, f"{services.url}{base}/labels/mask")


async def test_coarser_levels_of_a_large_volume_are_made_once(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until they are there, chunks and sections across the rows are samples, which says so and is not kept."""
    monkeypatch.setattr(open_images, "LARGE_NBYTES", 0)
    path = tomogram(tmp_path / "ts.mrc")
    file_id = await upload(services, path)
    base = f"/v1/zarr/0.5/files/{file_id}.ome.zarr"
    chunk, section = f"{base}/1/c/0/0/0", f"/v1/files/{file_id}/slice?axis=x&index=60&size=75"
    whole = await services.http.get(f"{base}/0/c/0/0/0")
    assert "CryoMamba-Sampled" not in whole.headers
    early = [await services.http.get(one) for one in (section, chunk)]
    for reply in early:
        assert reply.headers["CryoMamba-Sampled"] == "?1"
        assert reply.headers["Cache-Control"] == "no-store"

    async def final() -> bool:
        return not any(["CryoMamba-Sampled" in (await services.http.get(one)).headers for one in (section, chunk)])

    await wait_until_async(final, what="the coarser levels")
    late = [await services.http.get(one) for one in (section, chunk)]
    for first, reply in zip(early, late, strict=True):
        assert "immutable" in reply.headers["Cache-Control"]
        assert reply.headers["ETag"] != first.headers["ETag"]
        known = {"If-None-Match": reply.headers["ETag"]}
        assert (await services.http.get(str(reply.url), headers=known)).status_code == 304
    expected = halved(mrcfile.read(path), (1, 2, 2), labels=False)
    found = np.frombuffer(late[1].content, "<i2").reshape(32, 75, 70)
    assert np.array_equal(found, expected[:32])
    assert PIL.Image.open(io.BytesIO(late[0].content)).size == (75, 40)
    assert len(list((services.settings.home / "levels").glob("*.levels"))) == 1


async def test_a_reader_can_revalidate_and_read_ranges(services: Services, tmp_path: Path) -> None:
    """ETag and 304, HEAD, ranges and their errors; the browser may keep chunks, no other cache may."""
    file_id = await upload(services, tomogram(tmp_path / "ts.mrc"))
    base = f"/v1/zarr/0.5/files/{file_id}.ome.zarr"
    get = services.http.get
    for key in ("zarr.json", "0/c/1/1/1", "1/c/0/0/0"):
        whole = await get(f"{base}/{key}")
        etag = whole.headers["ETag"]
        assert whole.headers["Cache-Control"].startswith("private, ")
        assert (await get(f"{base}/{key}", headers={"If-None-Match": f'"x", {etag}'})).status_code == 304
        assert (await get(f"{base}/{key}", headers={"If-None-Match": '"x"'})).status_code == 200
        head = await services.http.head(f"{base}/{key}")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == str(len(whole.content))
        assert head.headers["ETag"] == etag
        for asked, expected in (("5-9", whole.content[5:10]), ("20-", whole.content[20:]), ("-7", whole.content[-7:])):
            part = await get(f"{base}/{key}", headers={"Range": f"bytes={asked}"})
            assert (part.status_code, part.content) == (206, expected)
            assert part.headers["Content-Range"].endswith(f"/{len(whole.content)}")
        stale = await get(f"{base}/{key}", headers={"Range": "bytes=5-9", "If-Range": '"old"'})
        assert (stale.status_code, stale.content) == (200, whole.content)
        beyond = await get(f"{base}/{key}", headers={"Range": "bytes=99999999-"})
        assert beyond.status_code == 416
        assert beyond.headers["Content-Range"] == f"bytes */{len(whole.content)}"


@pytest.mark.parametrize(
    "key", ["", ".zarray", "0/c/2/0/0", "0/c/0/0", "9/c/0/0/0", "0/0/0/0", "0/c/\uff10/0/0", "labels/zarr.json"]
)
async def test_what_is_not_there_is_404(services: Services, tmp_path: Path, key: str) -> None:
    """Readers look for documents of other versions and chunks of other layouts, and rely on 404."""
    path = tmp_path / "small.mrc"
    write_volume(path, np.zeros((4, 5, 6), np.float32), 9.0)
    file_id = await upload(services, path)
    reply = await services.http.get(f"/v1/zarr/0.5/files/{file_id}.ome.zarr/{key}")
    assert reply.status_code == 404
    assert reply.json()["hint"]


async def test_chunks_of_a_deleted_volume_are_no_zeros(services: Services, tmp_path: Path) -> None:
    """A reader takes 404 for a chunk of zeros, so a chunk of what was deleted is another error."""
    file_id = await upload(services, tomogram(tmp_path / "gone.mrc"))
    await services.http.delete(f"/v1/files/{file_id}")
    base = f"/v1/zarr/0.5/files/{file_id}.ome.zarr"
    assert (await services.http.get(f"{base}/zarr.json")).status_code == 404
    chunk = await services.http.get(f"{base}/0/c/0/0/0")
    assert (chunk.status_code, chunk.json()["code"]) == (422, "volume_not_found")


async def test_a_tomogram_that_was_changed_is_refused(services: Services, worker: Worker, tmp_path: Path) -> None:
    """Nobody sees another tomogram below the mask of a job, nor one file mixed from two."""
    path = tomogram(services.settings.home.parent / f"{tmp_path.name}-changed.mrc")
    job = await services.submit(volume={"path": str(path)}, engine="demo")
    base = f"/v1/zarr/0.5/jobs/{job.job_id}.ome.zarr"
    assert (await services.http.get(f"{base}/0/c/0/0/0")).status_code == 200
    with mrcfile.mmap(path, "r+") as file:
        file.data[0, 0, 0] += 1
        file.header.label[0] = b"changed"
    chunk = await services.http.get(f"{base}/0/c/0/0/0")
    assert (chunk.status_code, chunk.json()["code"]) == (422, "volume_changed")


async def test_a_compressed_file_says_what_to_do(services: Services, tmp_path: Path) -> None:
    """Nothing is decompressed in the gateway; the description and the root say why."""
    path = tmp_path / "ts.mrc.gz"
    path.write_bytes(gzip.compress(tomogram(tmp_path / "ts.mrc", shape=(4, 5, 6)).read_bytes()))
    file_id = await upload(services, path)
    described = (await services.http.get(f"/v1/files/{file_id}")).json()
    assert described["volume"] is None
    assert "Decompress" in described["problem"]
    root = await services.http.get(f"/v1/zarr/0.5/files/{file_id}.ome.zarr/zarr.json")
    assert (root.status_code, root.json()["code"]) == (422, "volume_unsupported")


async def test_a_demo_job_has_no_tomogram(services: Services, worker: Worker) -> None:
    """Its root is an empty group, which a reader can open all the same."""
    job = await services.submit()
    root = await services.http.get(f"/v1/zarr/0.5/jobs/{job.job_id}.ome.zarr/zarr.json")
    assert root.json()["attributes"] == {"ome": {"version": "0.5"}}
    described = (await services.http.get(f"/v1/jobs/{job.job_id}/volumes")).json()
    assert described["volumes"] == []
    assert "pending" in described["hint"]


async def test_pages_of_named_origins_may_read(services: Services, tmp_path: Path) -> None:
    """A viewer of an allowed origin reads metadata, chunks and errors; one of another origin reads nothing."""
    viewer = "https://viewer.example.org"
    file_id = await upload(services, tomogram(tmp_path / "ts.mrc"))
    settings = services.settings.model_copy(update={"gateway_origins": (viewer,)})
    async with services.running(settings) as url, httpx.AsyncClient(trust_env=False) as http:
        base = f"{url}/v1/zarr/0.5/files/{file_id}.ome.zarr"
        for key, status in (("zarr.json", 200), ("0/c/0/0/0", 200), (".zattrs", 404)):
            reply = await http.get(f"{base}/{key}", headers={"Origin": viewer})
            assert reply.status_code == status
            assert reply.headers["Access-Control-Allow-Origin"] == viewer
            foreign = await http.get(f"{base}/{key}", headers={"Origin": "https://other.example.org"})
            assert "Access-Control-Allow-Origin" not in foreign.headers
        asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
        assert (await http.options(f"{base}/0/c/0/0/0", headers={"Origin": viewer, **asked})).status_code == 200
