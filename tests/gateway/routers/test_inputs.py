"""Browsing the allowed input directories."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
import pytest_asyncio
import zarr
from PIL import Image

from cryomamba.errors import InvalidRequestError, NotFoundError
from cryomamba.testing import DEADLINE_S
from cryomamba.volumes import write_volume
from cryomamba_gateway.input_folders import InputFolders, InputPage
from cryomamba_gateway.volumes.input_ids import input_id
from cryomamba_server.tokens import Scope, TokenStore

if TYPE_CHECKING:
    from tests.gateway.conftest import Services

pytestmark = pytest.mark.asyncio(loop_scope="session")

Entry = dict[str, Any]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An allowed directory; beside it, what is not allowed."""
    root = tmp_path / "data"
    for name in ("session10", "session2", ".hidden"):
        (root / name).mkdir(parents=True)
    for name in ("t10.mrc", "t2.mrc", ".t3.mrc", "session2/t1.rec"):
        write_volume(root / name, np.zeros((4, 6, 8), np.float32), (10.0, 8.0, 8.0))
    (root / "notes.txt").write_text("not a tomogram")
    (root / "broken.mrc").write_text("not a tomogram either")
    outside = tmp_path / "outside"
    outside.mkdir()
    write_volume(outside / "secret.mrc", np.zeros((4, 4, 4), np.float32), 10.0)
    return root


@pytest_asyncio.fixture(loop_scope="session")
async def browsed(idle_services: Services, data: Path) -> Services:
    """A gateway that allows one directory; a listing needs no other service."""
    await idle_services.start_gateway(roots=(data,))
    return idle_services


async def entries(services: Services, path: str | Path, **more: Any) -> list[Entry]:
    reply = await services.http.get("/v1/inputs", params={"path": str(path), **more})
    assert reply.status_code == 200, reply.text
    found: list[Entry] = reply.json()["entries"]
    return found


async def test_folders_come_first_and_tomograms_are_described(browsed: Services, data: Path) -> None:
    """In the order in which people count; other files and hidden ones are left out, and a broken one says why."""
    (root,) = await entries(browsed, "")
    assert (root["kind"], root["path"]) == ("folder", str(data))
    found = await entries(browsed, root["path"])
    assert [(one["kind"], one["name"]) for one in found] == [
        ("folder", "session2"),
        ("folder", "session10"),
        ("tomogram", "broken.mrc"),
        ("tomogram", "t2.mrc"),
        ("tomogram", "t10.mrc"),
    ]
    broken, good = found[2:4]
    assert good["path"] == str(data / "t2.mrc")
    assert good["size_bytes"] == (data / "t2.mrc").stat().st_size
    assert (good["shape"], good["voxel_size_A"], good["problem"]) == ([4, 6, 8], [10.0, 8.0, 8.0], None)
    assert good["modified_at"].startswith("20")
    assert (broken["shape"], "MRC" in broken["problem"]) == (None, True)
    below = (await browsed.http.get("/v1/inputs", params={"path": str(data / "session2")})).json()
    assert [one["name"] for one in below["entries"]] == ["t1.rec"]
    assert (below["path"], below["parent"]) == (str(data / "session2"), str(data))


async def test_a_listed_tomogram_is_read_without_a_job(browsed: Services, data: Path) -> None:
    """Its description, slices, chunks and bytes are those of the file; the file is not copied."""
    ramp = np.broadcast_to(np.linspace(-100, 100, 90, dtype=np.float32)[None, :, None], (20, 90, 70)).copy()
    path = data / "session2" / "Zelle ä.rec"
    write_volume(path, ramp, 9.0)
    listed = next(one for one in await entries(browsed, data / "session2") if one["name"] == path.name)
    found = (await browsed.http.get(f"/v1/inputs/{listed['input_id']}")).json()
    assert (found["path"], found["problem"], found["volume"]["shape"]) == (str(path), "", [20, 90, 70])
    assert found["volume"]["contrast_limits"] == pytest.approx([-100, 100], abs=2)
    slice_ = await browsed.http.get(f"{found['volume']['slice_url']}?low=-100&high=100&index=3")
    shown = np.asarray(Image.open(io.BytesIO(slice_.content)))
    assert np.array_equal(shown[:, 0], np.rint(np.linspace(0, 255, 90)))
    whole = await browsed.http.get(found["url"])
    assert whole.content == path.read_bytes()
    part = await browsed.http.get(found["url"], headers={"Range": "bytes=1024-1030"})
    assert (part.status_code, part.content) == (206, whole.content[1024:1031])
    known = {"If-None-Match": whole.headers["ETag"]}
    assert (await browsed.http.get(found["url"], headers=known)).status_code == 304
    refused = await browsed.http.get(found["url"], headers={"If-Match": '"other"'})
    assert refused.status_code == 412
    formats: tuple[tuple[str, Literal[2, 3]], ...] = (("v0_5", 3), ("v0_4", 2))
    for version, zarr_format in formats:
        url = f"{browsed.url}{found['zarr'][version]}"
        pytest.importorskip("aiohttp")
        levels = await asyncio.to_thread(read_all, url, zarr_format)
        assert np.array_equal(levels[0], ramp)
        assert levels[1].shape == (20, 45, 35)
    for url in (f"/v1/inputs/{listed['input_id']}", found["url"], found["volume"]["slice_url"]):
        assert (await browsed.http.head(url)).status_code == 200
    # What is written over it is another volume.
    write_volume(path, -ramp, 9.0)
    changed = await browsed.http.get(found["url"], headers=known)
    assert (changed.status_code, changed.content == path.read_bytes()) == (200, True)
    path.unlink()
    assert (await browsed.http.get(f"/v1/inputs/{listed['input_id']}")).status_code == 404
    assert (await browsed.http.get(found["url"])).status_code == 404


def read_all(url: str, zarr_format: Literal[2, 3]) -> list[npt.NDArray[np.float32]]:
    """Read all levels of a volume."""
    group = zarr.open_group(url, mode="r", zarr_format=zarr_format)
    return [np.asarray(group[str(level)]) for level in (0, 1)]


@pytest.mark.parametrize(
    "path",
    ["..", "../outside/secret.mrc", "/etc/passwd", "session2", "link.mrc", "{data}/../outside/secret.mrc", "none.mrc"],
)
async def test_no_id_leads_out_of_the_allowed_directories(browsed: Services, data: Path, path: str) -> None:
    """Whatever path somebody makes one of."""
    (data / "link.mrc").symlink_to(data.parent / "outside" / "secret.mrc")
    made = input_id(path.format(data=data))
    for url in (f"/v1/inputs/{made}", f"/v1/inputs/{made}/content", f"/v1/inputs/{made}/slice"):
        assert (await browsed.http.get(url)).status_code in {403, 404, 422}, url
    for key in ("zarr.json", "0/c/0/0/0"):
        assert (await browsed.http.get(f"/v1/zarr/0.5/inputs/{made}.ome.zarr/{key}")).status_code in {403, 404, 422}


@pytest.mark.parametrize("broken", ["_", "YQ==", "YR", "gA", "AA"])
async def test_what_is_no_id_is_not_found(browsed: Services, broken: str) -> None:
    """Each path has one id only."""
    assert (await browsed.http.get(f"/v1/inputs/{broken}")).status_code in {400, 404}


async def test_pages_follow_each_other_without_gaps(browsed: Services, data: Path) -> None:
    """Also when what the cursor names has gone meanwhile."""
    for number in range(30):
        (data / "session2" / f"a{number}.mrc").touch()
    names: list[str] = []
    query: dict[str, str | int] = {"path": str(data / "session2"), "limit": 7}
    while True:
        page = (await browsed.http.get("/v1/inputs", params=query)).json()
        names += [one["name"] for one in page["entries"]]
        if page["cursor"] is None:
            break
        query["cursor"] = page["cursor"]
        (data / "session2" / page["cursor"][1:]).unlink()
    assert names == [*(f"a{number}.mrc" for number in range(30)), "t1.rec"]


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../outside",
        "{data}/..",
        "{data}/../outside",
        "{data}/session2/../../outside",
        "/",
        "/etc",
        "{data}2",
        "\0",
        "%2e%2e",
        "~",
    ],
)
async def test_nothing_outside_is_listed(browsed: Services, data: Path, path: str) -> None:
    """A path that leads out of the allowed directories is refused, and one that is only odd is not found."""
    reply = await browsed.http.get("/v1/inputs", params={"path": path.format(data=data)})
    odd = path in {"~", "%2e%2e"}
    assert (reply.status_code, reply.json()["code"]) == ((404, "not_found") if odd else (403, "path_forbidden"))
    assert "secret" not in reply.text


async def test_links_are_followed_only_within(browsed: Services, data: Path) -> None:
    """Links to the outside are left out and refused; those within are shown, and a loop has an end."""
    outside = data.parent / "outside"
    (data / "way_out").symlink_to(outside)
    (data / "secret.mrc").symlink_to(outside / "secret.mrc")
    (data / "gone.mrc").symlink_to(data / "nothing.mrc")
    (data / "loop").symlink_to(data / "loop")
    (data / "session2" / "up").symlink_to(data)
    (data / "linked.mrc").symlink_to(data / "session2" / "t1.rec")
    (data / "linked").symlink_to(data / "session2")
    names = [one["name"] for one in await entries(browsed, data)]
    assert names == ["linked", "session2", "session10", "broken.mrc", "linked.mrc", "t2.mrc", "t10.mrc"]
    reply = await browsed.http.get("/v1/inputs", params={"path": str(data / "way_out")})
    assert (reply.status_code, reply.json()["code"]) == (403, "path_forbidden")
    up = (await browsed.http.get("/v1/inputs", params={"path": str(data / "session2" / "up")})).json()
    assert (up["path"], up["parent"]) == (str(data), "")


async def test_special_files_and_names_that_are_no_text_are_left_out(browsed: Services, data: Path) -> None:
    """A pipe would block whoever opens it, and a name that is not UTF-8 cannot be given back."""
    os.mkfifo(data / "pipe.mrc")
    (data / os.fsdecode(b"\xff.mrc")).touch()
    assert len(await entries(browsed, data)) == 5


async def test_a_link_to_a_name_that_is_no_text_is_left_out_and_not_found(browsed: Services, data: Path) -> None:
    """What is in that folder could not be named either."""
    folder = data / os.fsdecode(b"\xff")
    folder.mkdir()
    (folder / "t1.mrc").touch()
    (data / "readable").symlink_to(folder)
    assert "readable" not in [one["name"] for one in await entries(browsed, data)]
    reply = await browsed.http.get("/v1/inputs", params={"path": str(data / "readable")})
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


async def test_a_folder_that_fails_while_it_is_read_is_not_found(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network disk that goes away."""

    def gone(_descriptor: int) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(os, "scandir", gone)
    with pytest.raises(NotFoundError, match="Stale file handle"):
        InputFolders((data,), ()).page(str(data), limit=10)


async def test_many_slow_listings_of_one_owner_hold_up_nobody(
    idle_services: Services, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are told who they are, and list folders, while somebody has asked for more than there are threads."""
    services = idle_services
    tokens = TokenStore(services.settings.keys)
    slow, quick = (
        {"Authorization": f"Bearer {tokens.create(name, [Scope.WRITE], days=1)[0]}"} for name in ("ada", "bob")
    )
    await services.start_gateway(roots=(data,))
    page, released, begun = InputFolders.page, threading.Event(), threading.Event()

    def held(self: InputFolders, path: str, *, limit: int, cursor: str | None = None) -> InputPage:
        if path.endswith("session2"):
            begun.set()
            released.wait(DEADLINE_S)
        return page(self, path, limit=limit, cursor=cursor)

    monkeypatch.setattr(InputFolders, "page", held)
    query = {"path": str(data / "session2")}
    waiting = [asyncio.create_task(services.http.get("/v1/inputs", params=query, headers=slow)) for _ in range(40)]
    try:
        assert await asyncio.to_thread(begun.wait, DEADLINE_S)
        reply = await services.http.get("/v1/inputs", params={"path": str(data)}, headers=quick)
        assert reply.status_code == 200
        assert not any(one.done() for one in waiting)
    finally:
        released.set()
    assert {one.status_code for one in await asyncio.gather(*waiting)} == {200}


async def test_a_folder_that_becomes_a_link_is_not_read(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the check of its path and its opening it may be replaced; then nothing of the other one is listed."""
    (data / "session2" / "deep").mkdir()
    secret = data.parent / "outside" / "deep" / "secret.mrc"
    secret.parent.mkdir()
    write_volume(secret, np.zeros((4, 4, 4), np.float32), 10.0)
    opened = os.open

    def replaced(path: os.PathLike[str], flags: int) -> int:
        # One above the folder, which no flag of the call protects.
        (data / "session2").rename(data / "moved")
        (data / "session2").symlink_to(data.parent / "outside")
        return opened(path, flags)

    monkeypatch.setattr(os, "open", replaced)
    with pytest.raises(InvalidRequestError, match="not in an allowed input directory"):
        InputFolders((data,), ()).page(str(data / "session2" / "deep"), limit=10)


async def test_the_servers_own_folders_are_not_shown(idle_services: Services, tmp_path: Path) -> None:
    """Even where an allowed directory holds the data directory: others' uploads and the keys are in it."""
    services = idle_services
    await services.start_gateway(roots=(tmp_path,))
    for folder in services.settings.own_folders:
        folder.mkdir(parents=True, exist_ok=True)
        reply = await services.http.get("/v1/inputs", params={"path": str(folder)})
        assert (reply.status_code, reply.json()["code"]) == (403, "path_forbidden")
    shown = {one["path"] for one in await entries(services, services.settings.home)}
    assert shown.isdisjoint(map(str, services.settings.own_folders))
    key = services.settings.keys / "token.key"
    key.write_bytes(bytes(2000))
    for path in ("", "/content", "/slice"):
        reply = await services.http.get(f"/v1/inputs/{input_id(str(key))}{path}")
        assert (reply.status_code, reply.json()["code"]) == (403, "path_forbidden")


async def test_only_those_who_may_submit_see_it(idle_services: Services, data: Path) -> None:
    """A token that may only read is refused, and so is everybody without one."""
    services = idle_services
    tokens = TokenStore(services.settings.keys)
    reader, _ = tokens.create("ada", [Scope.READ], days=1)
    writer, _ = tokens.create("ada", [Scope.WRITE], days=1)
    await services.start_gateway(roots=(data,))
    made = input_id(str(data / "t2.mrc"))
    zarr_root = f"/v1/zarr/0.5/inputs/{made}.ome.zarr"
    one = (f"/v1/inputs/{made}", f"/v1/inputs/{made}/content", f"/v1/inputs/{made}/slice")
    for url in ("/v1/inputs", *one, f"{zarr_root}/zarr.json", f"{zarr_root}/0/c/0/0/0"):
        answers = [
            await services.http.get(url, headers={"Authorization": f"Bearer {token}"} if token else {})
            for token in (writer, reader, "")
        ]
        assert [answer.status_code for answer in answers] == [200, 403, 401], url
    link = f"/v1/inputs/{made}/zarr-link"
    assert (await services.http.post(link, headers={"Authorization": f"Bearer {reader}"})).status_code == 403
    shared = (await services.http.post(link, headers={"Authorization": f"Bearer {writer}"})).json()["zarr"]["v0_5"]
    assert (await services.http.get(f"{shared}/zarr.json")).status_code == 200
    other = shared.replace(made, input_id(str(data / "t10.mrc")))
    assert (await services.http.get(f"{other}/zarr.json")).status_code == 403


async def test_a_path_of_the_list_can_be_submitted(idle_services: Services, data: Path) -> None:
    """Also where the operator has named the directory by a link."""
    services = idle_services
    named = data.parent / "named"
    named.symlink_to(data)
    services.settings = services.settings.model_copy(update={"roots": (named,)})
    await services.start_broker()
    await services.start_worker()
    await services.start_gateway()
    (root,) = await entries(services, "")
    (found,) = [one for one in await entries(services, root["path"]) if one["name"] == "t2.mrc"]
    assert found["path"] == str(named / "t2.mrc")
    job = await services.submit(volume={"path": found["path"]}, engine="demo")
    assert (job.volume.path, job.volume.shape) == (found["path"], (4, 6, 8))
