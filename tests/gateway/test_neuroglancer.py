"""neuroglancer, the viewer of many public archives, reads tomogram and mask from the gateway in a real browser."""

from __future__ import annotations

import functools
import importlib.util
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.gateway.chromium import tab

from cryomamba.volumes import MaskWriter, open_volume, write_volume

if TYPE_CHECKING:
    from tests.gateway.conftest import Services

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.system, pytest.mark.browser]

SHAPE = (40, 70, 60)
SOFTWARE_WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
BELOW = "/v/test"
LAYER = "viewer.layerManager.managedLayers[{n}].layer"
# The value of a layer at the position in the middle of the views, apart from the mouse; empty until its chunk is there.
VALUE = f"String({LAYER}.getValueAt(viewer.navigationState.position.value, {{{{pickedRenderLayer: null}}}}) ?? '')"


class Handler(SimpleHTTPRequestHandler):
    """Serves the viewer's files below the path at which it expects a Python program, which it can do without."""

    def translate_path(self, path: str) -> str:
        """Return the file."""
        return super().translate_path(path.removeprefix(BELOW))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


@pytest.fixture
def viewer() -> Iterator[str]:
    """The origin of a site with the viewer, which is not the gateway's."""
    found = importlib.util.find_spec("neuroglancer")
    if found is None or not found.submodule_search_locations:
        pytest.skip("neuroglancer is not installed (requirements/no-deps.txt; Linux on x86-64 only)")
    folder = Path(found.submodule_search_locations[0]) / "static" / "client"
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()
        thread.join()


def volumes(folder: Path) -> tuple[bytes, bytes]:
    """Return a tomogram whose density is z, and a mask that is 3 everywhere."""
    density = np.broadcast_to(np.arange(SHAPE[0], dtype=np.float32)[:, None, None], SHAPE)
    write_volume(folder / "ts.mrc", density.copy(), 10.0)
    with open_volume(folder / "ts.mrc") as like, MaskWriter(folder / "mask.mrc", like, labels=3, engine="x") as writer:
        writer.write(0, 0, 0, np.full(SHAPE, 3, np.uint8))
    return (folder / "ts.mrc").read_bytes(), (folder / "mask.mrc").read_bytes()


async def test_neuroglancer_shows_a_tomogram_and_its_mask(idle_services: Services, viewer: str, tmp_path: Path) -> None:
    """It opens a link without a token from its own origin, and has the values of tomogram and mask."""
    services = idle_services
    tomogram, mask = volumes(tmp_path)
    await services.start_broker()
    await services.start_gateway(gateway_origins=(viewer,))
    worker = await services.start_worker()
    file_id = (await services.http.put("/v1/files?filename=ts.mrc", content=tomogram)).json()["file_id"]
    job = await services.submit(volume={"file_id": file_id}, engine="demo")
    await worker.finish(await worker.claim(), {"mask.mrc": mask})
    link = (await services.http.post(f"/v1/jobs/{job.job_id}/zarr-link")).json()["zarr"]["v0_5"]

    async with tab(f"{viewer}{BELOW}/index.html", tmp_path / "profile", *SOFTWARE_WEBGL) as page:
        await page.until("typeof viewer === 'object'")
        source = f"zarr3://{services.url}{link}"
        layers = [
            {"type": "image", "name": "tomogram", "source": source},
            {"type": "segmentation", "name": "mask", "source": f"{source}/labels/mask"},
        ]
        await page.value(f"viewer.state.restoreState({{layers: {layers!r}}})")
        for n in range(2):
            await page.until(f"{VALUE.format(n=n)} !== ''")
        # The middle lies between two voxels.
        assert float(await page.value(VALUE.format(n=0))) in {SHAPE[0] / 2 - 1, SHAPE[0] / 2}
        assert await page.value(VALUE.format(n=1)) == "3"
        units = await page.value(
            "viewer.coordinateSpace.value.units.join() + viewer.coordinateSpace.value.scales.join()"
        )
        assert units == "m,m,m1e-9,1e-9,1e-9"
