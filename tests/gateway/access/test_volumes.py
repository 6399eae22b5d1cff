"""Volumes over HTTP on a server that requires tokens."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cryomamba.volumes import write_volume

if TYPE_CHECKING:
    from tests.gateway.access.conftest import SecuredServices

pytestmark = pytest.mark.asyncio(loop_scope="session")


def tomogram(path: Path) -> bytes:
    """Return a small tomogram."""
    write_volume(path, np.ones((4, 5, 6), np.float32), 9.0)
    return path.read_bytes()


async def upload(secured: SecuredServices, path: Path) -> str:
    """Upload a tomogram of Ada's and return its id."""
    return str((await secured.ada.put("/v1/files?filename=ts.mrc", content=tomogram(path))).json()["file_id"])


async def test_only_the_owner_reads_a_volume(secured: SecuredServices, tmp_path: Path) -> None:
    """To others it does not exist; without a token nothing is served. A token in the page's cookie is enough."""
    file_id = await upload(secured, tmp_path / "ts.mrc")
    zarr = f"/v1/zarr/0.5/files/{file_id}.ome.zarr"
    paths = [f"{zarr}/zarr.json", f"/v1/files/{file_id}", f"/v1/files/{file_id}/content", f"/v1/files/{file_id}/slice"]
    async with secured.client(None) as stranger:
        for path in paths:
            assert (await secured.ada.get(path)).status_code == 200, path
            assert (await secured.reader.get(path)).status_code == 200, path
            assert (await secured.admin.get(path)).status_code == 200, path
            assert (await secured.bob.get(path)).status_code == 404, path
            assert (await stranger.get(path)).status_code == 401, path
            assert (await stranger.get(f"{path}?expires=9999999999&signature=x")).status_code == 401, path
        assert (await secured.bob.get(f"{zarr}/0/c/0/0/0")).status_code == 422
        assert (await secured.bob.post(f"/v1/files/{file_id}/zarr-link")).status_code == 404
        token = secured.ada.headers["Authorization"].removeprefix("Bearer ")
        assert (await stranger.get(paths[0], headers={"Cookie": f"cryomamba_token={token}"})).status_code == 200


async def test_a_link_opens_its_volume_and_nothing_else(
    secured: SecuredServices, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody may read with it, in both versions, until it expires; the log does not have it."""
    file_id, other = await upload(secured, tmp_path / "a.mrc"), await upload(secured, tmp_path / "b.mrc")
    made = (await secured.ada.post(f"/v1/files/{file_id}/zarr-link?lifetime_s=600")).json()
    url = made["zarr"]["v0_5"]
    grant = url.split("/")[5]
    async with secured.client(None) as stranger:
        with caplog.at_level(logging.INFO, logger="cryomamba.access"):
            assert (await stranger.get(f"{url}/zarr.json")).status_code == 200
        assert url.rpartition("/")[2] in caplog.text
        assert grant not in caplog.text
        chunk = await stranger.get(f"{url}/0/c/0/0/0")
        assert np.frombuffer(chunk.content, "<f4").sum() == 120
        assert (await stranger.get(f"{made['zarr']['v0_4']}/.zattrs")).status_code == 200
        assert (await stranger.get(f"/v1/zarr/0.5/files/{file_id}.ome.zarr/zarr.json")).status_code == 401
        assert (await stranger.put(f"{url}/zarr.json")).status_code in {403, 405}
        for forged in (
            url.replace(file_id, other),
            url.replace("/files/", "/jobs/"),
            url.replace(grant, grant[:-1] + ("0" if grant[-1] != "0" else "1")),
            url.replace(grant, str(int(grant.partition("-")[0]) + 1) + "-" + grant.partition("-")[2]),
            url.replace(grant, "x"),
        ):
            assert (await stranger.get(f"{forged}/zarr.json")).status_code == 403, forged
        expired = secured.services.signer().grant(f"/v1/zarr/files/{file_id}", lifetime_s=-1)[0]
        reply = await stranger.get(f"{url.replace(grant, expired)}/zarr.json")
        assert (reply.status_code, "expired" in reply.json()["message"]) == (403, True)
