"""OME-Zarr over HTTP for computing: a busy server is asked again, and nothing that is missing is taken for zeros."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryomamba.errors import UnavailableError, VolumeError
from cryomamba.volumes import open_volume, write_volume
from cryomamba.volumes.exports import write_ome_zarr
from cryomamba.volumes.images.image_volume import ImageVolume
from cryomamba.volumes.images.ome_zarr import open_ome_zarr

VOXELS = np.random.default_rng(3).normal(size=(8, 9, 10)).astype(np.float32)


class BusyServer(ThreadingHTTPServer):
    """Serves a folder, and answers the next `refused` requests with a status."""

    refused = 0
    status = 503

    def handle_error(self, *_arguments: Any) -> None:
        """Say nothing: after an error the client reads no further."""


class Handler(SimpleHTTPRequestHandler):
    server: BusyServer

    def do_GET(self) -> None:
        """Send a file, or refuse to."""
        if self.server.refused > 0:
            self.server.refused -= 1
            self.send_response(self.server.status)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BusyServer]:
    """A server with an image, which is busy when a test says so."""
    write_volume(tmp_path / "t.mrc", VOXELS, 10.0)
    with open_volume(tmp_path / "t.mrc") as volume:
        write_ome_zarr(volume, tmp_path / "t.ome.zarr")
    with BusyServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path))) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def read(image: ImageVolume, planes: int) -> Any:
    return image.voxels[slice(0, planes), slice(0, 9), slice(0, 10)]


def url(server: BusyServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/t.ome.zarr"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again(server: BusyServer, status: int) -> None:
    """Refusals for a while change no voxel; a viewer, which does not wait, gets the error at once."""
    server.status = status
    with open_ome_zarr(url(server), patience_s=60) as image:
        server.refused = 3
        assert np.array_equal(read(image, 8), VOXELS)
    server.refused = 1
    with pytest.raises(VolumeError):
        open_ome_zarr(url(server))


def test_a_server_that_stays_away(server: BusyServer) -> None:
    """When the time is up, the error may be retried."""
    with open_ome_zarr(url(server), patience_s=0.5) as image:
        server.shutdown()
        server.server_close()
        begun = time.monotonic()
        with pytest.raises(UnavailableError) as caught:
            read(image, 1)
    assert caught.value.retryable
    assert time.monotonic() - begun >= 0.2


def test_a_missing_chunk(server: BusyServer, tmp_path: Path) -> None:
    """Zarr takes a chunk that is not there for zeros; for computing it is an error."""
    for chunk in (tmp_path / "t.ome.zarr" / "0" / "c").rglob("*"):
        if chunk.is_file():
            chunk.unlink()
    with open_ome_zarr(url(server)) as image:
        assert not read(image, 8).any()
    with open_ome_zarr(url(server), patience_s=1) as image, pytest.raises(VolumeError, match="404"):
        read(image, 8)
