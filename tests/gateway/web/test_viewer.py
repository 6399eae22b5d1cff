"""The page's viewer in a real browser: what it shows of jobs in each state, equal to what the server has."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from benchmarks.volumes_http import SHAPE as LARGE
from benchmarks.volumes_http import large_upload
from PIL import Image
from tests.gateway.chromium import Tab, tab
from tests.gateway.web.viewing import (
    SOFTWARE_WEBGL,
    Pixels,
    canvas,
    change,
    plain_mask,
    section,
    show_plainly,
    until_shown,
)

from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobError, JobRecord
from cryomamba.testing import DEADLINE_S, wait_until_async
from cryomamba.volumes import MaskWriter, open_volume, write_volume
from cryomamba_gateway.png import palette
from cryomamba_inference.uncertainty import uncertainty_writer

if TYPE_CHECKING:
    from tests.gateway.conftest import Mask, Services, Worker

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]

SHAPE = (70, 160, 150)
PERCENT = np.minimum(np.arange(SHAPE[1]), 100)
AXE = Path(__file__).parents[3] / "services" / "gateway" / "web" / "node_modules" / "axe-core" / "axe.min.js"
PICKS = b"z,y,x,z_A,y_A,x_A,score,label\n35,80,75,350,800,750,200,1\n35,20,20,350,200,200,100,1\n"

ROW = {"voxels": 1, "volume_nm3": 1.0, "surface_nm2": None, "thickness_A": None, "thickness_sd_A": None}
SHARE = {"fraction": 0.1, "fraction_within": None, "instances": 1}
NAMED = json.dumps(
    {
        "labels": [{"label": 1, "name": "inner", **ROW, **SHARE}, {"label": 2, "name": "outer", **ROW, **SHARE}],
        "instances": [],
        "instance_count": 2,
        "parameters": {},
    }
).encode()


def files(folder: Path) -> dict[str, bytes]:
    """Return a tomogram of noise, two labels, scores that grow along x, and an uncertainty that grows along y."""
    rng = np.random.default_rng(5)
    write_volume(folder / "ts.mrc", rng.normal(size=SHAPE).astype(np.float32), 10.0)
    labels = np.zeros(SHAPE, np.uint8)
    labels[20:50, 40:120, 30:70] = 1
    labels[30:60, 60:140, 80:130] = 2
    with open_volume(folder / "ts.mrc") as like, MaskWriter(folder / "mask.mrc", like, labels=2, engine="x") as writer:
        writer.write(0, 0, 0, labels)
    scores = np.broadcast_to(np.arange(SHAPE[2], dtype=np.uint16), SHAPE)
    write_volume(folder / "scores.mrc", scores.copy(), 10.0)
    with (
        open_volume(folder / "ts.mrc") as like,
        uncertainty_writer(folder / "uncertainty.mrc", like.header, "x") as writer,
    ):
        writer.write(0, 0, 0, np.broadcast_to(PERCENT[:, None], SHAPE).astype(np.uint8))
    return {name: (folder / name).read_bytes() for name in ("ts.mrc", "mask.mrc", "scores.mrc", "uncertainty.mrc")}


async def finished_job(services: Services, worker: Worker, folder: Path, **more: bytes) -> JobRecord:
    """Submit a job for an uploaded tomogram, and finish it; `more` are its tables and statistics."""
    content = files(folder) | {f"{name}.{'json' if name == 'stats' else 'csv'}": table for name, table in more.items()}
    uploaded = await services.http.put("/v1/files?filename=ts.mrc", content=content.pop("ts.mrc"))
    job = await services.submit(volume={"file_id": uploaded.json()["file_id"]}, engine="demo")
    await worker.finish(await worker.claim(), content)
    return job


async def grey_slice(services: Services, job: JobRecord, axis: str, index: int, thickness: int = 1) -> Pixels:
    """Return a section of the tomogram as the server draws it."""
    path = f"/v1/jobs/{job.job_id}/volumes/tomogram/slice?axis={axis}&index={index}&thickness={thickness}&size=512"
    return np.asarray(Image.open(io.BytesIO((await services.http.get(path)).content)).convert("RGB"))


async def test_sections_are_those_of_the_server(services: Services, worker: Worker, tmp_path: Path) -> None:
    """Along each axis, at the crosshair and after moving by keys, pixels are the server's up to rounding."""
    job = await finished_job(services, worker, tmp_path)
    async with tab(f"{services.url}/#/jobs/{job.job_id}", tmp_path / "profile") as page:
        await change(page, "#layer", "none")
        for along, axis in enumerate("zyx"):
            await show_plainly(page, axis)
            await until_shown(page, axis, await grey_slice(services, job, axis, SHAPE[along] // 2), tolerance=1)
        await page.press("PageUp")
        await page.press("PageUp")
        await until_shown(page, "x", await grey_slice(services, job, "x", SHAPE[2] // 2 + 2), tolerance=1)
        await page.press("End")
        await until_shown(page, "x", await grey_slice(services, job, "x", SHAPE[2] - 1), tolerance=1)


async def test_how_sections_are_shown_changes_their_pixels(services: Services, worker: Worker, tmp_path: Path) -> None:
    """Limits from the fields, a slab, inverted greys: each as the server would compute it."""
    job = await finished_job(services, worker, tmp_path)
    path = f"/v1/jobs/{job.job_id}/volumes/tomogram/slice?axis=z&index=35&size=512"
    async with tab(f"{services.url}/#/jobs/{job.job_id}", tmp_path / "profile") as page:
        await change(page, "#layer", "none")
        await show_plainly(page, "z")
        await change(page, "#limit-low", "-1")
        await change(page, "#limit-high", "0.5")
        limited = (await services.http.get(f"{path}&low=-1&high=0.5")).content
        expected = np.asarray(Image.open(io.BytesIO(limited)).convert("RGB"))
        await until_shown(page, "z", expected, tolerance=1)
        await page.value("document.getElementById('invert').click()")
        await until_shown(page, "z", 255 - expected, tolerance=1)
        await page.value("document.getElementById('invert').click()")
        await change(page, "#slab", "5")
        limited = (await services.http.get(f"{path}&low=-1&high=0.5&thickness=5")).content
        await until_shown(page, "z", np.asarray(Image.open(io.BytesIO(limited)).convert("RGB")), tolerance=1)
        before = await section(page, "z", SHAPE[2], SHAPE[1])
        await change(page, "#low-pass", "2")
        await page.until("document.querySelector('#low-pass').ariaValueText === 'σ 20 Å'")
        await until_smoother(page, before)


async def until_smoother(page: Tab, before: Pixels) -> None:
    """Wait until the section varies much less than before."""
    script = "document.querySelector('.viewer') !== null"
    await page.until(script)
    async with asyncio.timeout(DEADLINE_S):
        while (await section(page, "z", SHAPE[2], SHAPE[1])).std() > before.std() / 2:
            await page.value("new Promise(requestAnimationFrame)")


async def test_a_mask_is_drawn_as_by_the_server(services: Services, worker: Worker, tmp_path: Path) -> None:
    """Filled and opaque it has the colours that the server draws."""
    job = await finished_job(services, worker, tmp_path)
    reply = await services.http.get(f"/v1/jobs/{job.job_id}/volumes/mask.mrc/slice?axis=z&index=35&size=512")
    rgba = np.asarray(Image.open(io.BytesIO(reply.content)).convert("RGBA"))
    grey = await grey_slice(services, job, "z", 35)
    expected = np.where(rgba[..., 3:] > 0, rgba[..., :3], grey)
    async with tab(f"{services.url}/#/jobs/{job.job_id}", tmp_path / "profile") as page:
        await show_plainly(page, "z")
        await plain_mask(page)
        await until_shown(page, "z", expected, tolerance=1)
        await page.press("m")
        await until_shown(page, "z", grey, tolerance=1)
        await page.press("m")
        await change(page, "#mask-opacity", "0.5")
        half = np.where(rgba[..., 3:] > 0, (rgba[..., :3].astype(int) + grey) / 2, grey).astype(np.uint8)
        await until_shown(page, "z", half, tolerance=3)


async def test_labels_are_hidden_and_coloured(services: Services, worker: Worker, tmp_path: Path) -> None:
    """The pixels of a hidden label are those of the tomogram, and a chosen colour is the one that is drawn."""
    job = await finished_job(services, worker, tmp_path, stats=NAMED)
    reply = await services.http.get(f"/v1/jobs/{job.job_id}/volumes/mask.mrc/slice?axis=z&index=35&size=512")
    rgba = np.asarray(Image.open(io.BytesIO(reply.content)).convert("RGBA"))
    grey = await grey_slice(services, job, "z", 35)
    colours = [np.array(list(palette()[3 * label : 3 * label + 3])) for label in (1, 2)]
    first, second = (np.all(rgba[..., :3] == colour, axis=2) & (rgba[..., 3] > 0) for colour in colours)
    assert first.any()
    assert second.any()
    expected = grey.copy()
    expected[second] = rgba[second][:, :3]
    async with tab(f"{services.url}/#/jobs/{job.job_id}", tmp_path / "profile") as page:
        await show_plainly(page, "z")
        await plain_mask(page)
        await page.until("document.querySelectorAll('.label-list input[type=checkbox]').length === 2")
        await page.value("document.querySelector('.label-list [aria-label=\"Show inner\"]').click()")
        await until_shown(page, "z", expected, tolerance=1)
        await change(page, ".label-list [aria-label='Colour of outer']", "#12e4f6")
        expected[second] = (0x12, 0xE4, 0xF6)
        await until_shown(page, "z", expected, tolerance=1)
        await page.value("document.querySelector('.label-list [aria-label=\"Show inner\"]').click()")
        expected[first] = colours[0]
        await until_shown(page, "z", expected, tolerance=1)


async def touch(page: Tab, kind: str, *points: tuple[float, float]) -> None:
    """Put fingers on the screen, move them, or lift them."""
    touched = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    await page.call("Input.dispatchTouchEvent", type=kind, touchPoints=touched)


async def test_fingers_move_and_zoom_a_section(services: Services, worker: Worker, tmp_path: Path) -> None:
    """One drags it by as many pixels, two that spread to twice their distance enlarge it twice, and a tap points."""
    job = await finished_job(services, worker, tmp_path)
    grey = await grey_slice(services, job, "z", 35)
    async with tab(f"{services.url}/#/jobs/{job.job_id}", tmp_path / "profile") as page:
        await page.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
        await change(page, "#layer", "none")
        await show_plainly(page, "z")
        await until_shown(page, "z", grey, tolerance=1)
        box = await page.value(f"{canvas('z')}.scrollIntoView(), {canvas('z')}.getBoundingClientRect().toJSON()")
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        await touch(page, "touchStart", (x, y))
        for step in range(1, 11):
            await touch(page, "touchMove", (x + 3 * step, y + 2 * step))
        await touch(page, "touchEnd")

        async def is_moved() -> bool:
            # The first pixels tell a drag from a tap.
            found = await section(page, "z", SHAPE[2], SHAPE[1])
            moves = ((down, right) for down in range(12, 21) for right in range(18, 31))
            return any(
                np.abs(found[down:, right:].astype(int) - grey[:-down, :-right]).max() <= 1 for down, right in moves
            )

        await wait_until_async(is_moved, what="the section under the finger")

        await page.press("0")
        await page.press("1")
        await change(page, "#layer", "labels/mask")
        await plain_mask(page)
        area = 40 * 80 + 50 * 80
        await wait_until_async(lambda: is_coloured(page, area), what="the mask")
        await touch(page, "touchStart", (x - 30, y), (x + 30, y))
        for step in range(1, 11):
            await touch(page, "touchMove", (x - 30 - 3 * step, y), (x + 30 + 3 * step, y))
        await touch(page, "touchEnd")
        await wait_until_async(lambda: is_coloured(page, 4 * area), what="a mask twice as large")
        # A voxel is two pixels now; the other sections follow the crosshair.
        across = f"{canvas('y')}.closest('.pane').querySelector('.pane-title').textContent"
        along = f"{canvas('x')}.closest('.pane').querySelector('.pane-title').textContent"
        await page.until(f"{across}.endsWith('y 81 / 160') && {along}.endsWith('x 76 / 150')")
        await touch(page, "touchStart", (x + 41, y + 21))
        await touch(page, "touchEnd")
        await page.until(f"{across}.endsWith('y 91 / 160') && {along}.endsWith('x 96 / 150')")


async def is_coloured(page: Tab, area: int) -> bool:
    """Whether about so many pixels of the section are not grey."""
    size = await page.value(f"[{canvas('z')}.width, {canvas('z')}.height]")
    pixels = (await section(page, "z", *size)).astype(int)
    return bool(abs(np.count_nonzero(np.ptp(pixels, axis=2) > 60) / area - 1) < 0.05)


async def test_a_threshold_acts_at_once(services: Services, worker: Worker, tmp_path: Path) -> None:
    """The section shows the voxels whose score reaches it, whatever the mask of the job is."""
    job = await finished_job(services, worker, tmp_path)
    grey = await grey_slice(services, job, "z", 35)
    async with tab(f"{services.url}/#/jobs/{job.job_id}", tmp_path / "profile") as page:
        await show_plainly(page, "z")
        await plain_mask(page)
        await page.until("document.getElementById('try-threshold') !== null")
        await page.value("document.getElementById('try-threshold').click()")
        for threshold in (100, 40):
            await change(page, "#threshold", str(threshold))
            expected = grey.copy()
            expected[:, threshold:] = list(palette()[3:6])
            await until_shown(page, "z", expected, tolerance=1)


async def test_the_uncertainty_lies_over_the_tomogram(services: Services, worker: Worker, tmp_path: Path) -> None:
    """Where it is 0 the tomogram is as before; its colours are as opaque as it is high; the readout has its value."""
    job = await finished_job(services, worker, tmp_path)
    grey = (await grey_slice(services, job, "z", 35)).astype(float)
    ramp = np.array([(87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)])
    colour = np.stack([np.interp(PERCENT, np.linspace(0, 100, 4), channel) for channel in ramp.T], axis=-1)[:, None]
    async with tab(f"{services.url}/#/jobs/{job.job_id}", tmp_path / "profile") as page:
        await change(page, "#layer", "none")
        await show_plainly(page, "z")
        await until_shown(page, "z", grey, tolerance=1)
        await page.value("document.getElementById('show-uncertainty').click()")
        for opacity in (0.8, 0.3):
            await change(page, "#uncertainty-opacity", str(opacity))
            alpha = (opacity * PERCENT / 100)[:, None, None]
            await until_shown(page, "z", np.rint((1 - alpha) * grey + alpha * colour), tolerance=4)
        await page.until("document.querySelector('.readout').textContent.includes('Uncertainty80 %')")
        await page.value("document.getElementById('show-uncertainty').click()")
        await until_shown(page, "z", grey, tolerance=1)


async def test_picks_are_circles_in_the_sections_that_cut_them(
    services: Services, worker: Worker, tmp_path: Path
) -> None:
    """They are counted, drawn around their positions, and can be hidden."""
    job = await finished_job(services, worker, tmp_path, picks=PICKS)
    grey = await grey_slice(services, job, "z", 35)
    async with tab(f"{services.url}/#/jobs/{job.job_id}", tmp_path / "profile") as page:
        await change(page, "#layer", "none")
        await page.until("document.getElementById('pick-count')?.textContent === '2 particles'")
        await show_plainly(page, "z")
        await page.value("document.getElementById('show-picks').click()")
        await until_shown(page, "z", grey, tolerance=1)
        await page.value("document.getElementById('show-picks').click()")
        async with asyncio.timeout(DEADLINE_S):
            while not (changed := differing(await section(page, "z", SHAPE[2], SHAPE[1]), grey)).any():
                await page.value("new Promise(requestAnimationFrame)")
    rows, columns = np.nonzero(changed)
    centres = ((80.5, 75.5), (20.5, 20.5))
    away = np.array([np.hypot(rows + 0.5 - y, columns + 0.5 - x) for y, x in centres]).min(axis=0)
    # Half of the diameter that a job without one is given: five voxels; lines are one and a half pixels wide.
    assert np.all(np.abs(away - 5) < 2)
    assert {
        int(np.hypot(*np.subtract((row, column), centres[0])) < 10) for row, column in zip(rows, columns, strict=True)
    } == {0, 1}


def differing(found: Pixels, grey: Pixels) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Return which pixels are not those of the tomogram."""
    return np.asarray(np.abs(found.astype(int) - grey).max(axis=2) > 1)


@pytest.mark.parametrize("width", [360, 1280, 2560])
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_it_fits_any_window(services: Services, worker: Worker, tmp_path: Path, width: int, theme: str) -> None:
    """Nothing is wider than the window, the large section is there, and axe finds nothing serious."""
    if not AXE.exists():
        pytest.skip("the page's packages are not installed ('make web' installs them)")
    job = await finished_job(services, worker, tmp_path, picks=PICKS)
    async with tab(f"{services.url}/#/jobs/{job.job_id}", tmp_path / "profile") as page:
        await page.resize(width, 900)
        await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        await page.until("document.getElementById('pick-count') && document.getElementById('try-threshold')")
        await page.value("document.getElementById('try-threshold').click()")
        await page.until("document.getElementById('threshold') !== null")
        await page.until(f"{canvas('z')}.width > {min(width, 700) // 2}")
        assert await page.value("document.documentElement.scrollWidth") <= width
        shown = await page.value(
            "[...document.querySelectorAll('.viewer canvas')].filter(c => c.checkVisibility()).length"
        )
        assert shown == (1 if width == 360 else 3)
        await page.value(AXE.read_text(encoding="utf-8"))
        found = await page.value(
            "axe.run('.viewer').then(({violations}) => violations.map(v => [v.impact, v.id, v.nodes[0].html]))"
        )
        assert [one for one in found if one[0] in {"serious", "critical"}] == []


async def test_surfaces_are_loaded_when_they_are_asked_for(services: Services, worker: Worker, tmp_path: Path) -> None:
    """Not before; then they turn with the keys, and a label that is hidden has no surface."""
    job = await finished_job(services, worker, tmp_path, picks=PICKS)
    async with tab(f"{services.url}/#/jobs/{job.job_id}", tmp_path / "profile", *SOFTWARE_WEBGL) as page:
        await page.until("document.getElementById('pick-count') !== null")
        loaded = "performance.getEntriesByType('resource').some(({name}) => name.endsWith('/web/surfaces.js'))"
        assert not await page.value(loaded)
        await page.value("[...document.querySelectorAll('.segmented button')].at(-1).click()")
        await page.until(f"Number({canvas('3d')}?.dataset.triangles) > 1000")
        assert await page.value(loaded)
        colours = len(np.unique(await picture(page), axis=0))
        assert colours > 100
        before = await picture(page)
        await page.value(f"{canvas('3d')}.focus()")
        await page.press("ArrowRight")
        async with asyncio.timeout(DEADLINE_S):
            while np.array_equal(await picture(page), before):
                await page.value("new Promise(requestAnimationFrame)")


async def picture(page: Tab) -> Pixels:
    """Return the pixels of the window as rows of three."""
    return np.asarray(Image.open(io.BytesIO(await page.picture())).convert("RGB")).reshape(-1, 3)


async def test_without_webgl_a_sentence_takes_the_place_of_surfaces(
    services: Services, worker: Worker, tmp_path: Path
) -> None:
    """It says why, and that the sections show the same mask."""
    job = await finished_job(services, worker, tmp_path, picks=PICKS)
    async with tab(f"{services.url}/#/jobs/{job.job_id}", tmp_path / "profile", "--disable-3d-apis") as page:
        await page.until("document.querySelector('.segmented button') !== null")
        await page.value("[...document.querySelectorAll('.segmented button')].at(-1).click()")
        await page.until("document.querySelector('.pane-message')?.textContent.includes('no WebGL 2')")


async def test_jobs_without_a_mask_say_so(services: Services, worker: Worker, ball: Mask, tmp_path: Path) -> None:
    """Pending, running, failed and cancelled ones, with and without a preview; none is a black square."""
    job = await services.submit(volume={"shape": [16, 20, 24]})
    status = "[...document.querySelectorAll('.viewer-status')].map(({textContent}) => textContent).join(' ')"
    async with tab(f"{services.url}/#/jobs/{job.job_id}", tmp_path / "profile") as page:
        await page.until(f"{status}.includes('waiting for a worker')")
        await page.until(f"{status}.includes('A demo job has no tomogram')")
        assert not await page.value("document.querySelector('.viewer canvas') !== null")
        claimed = await worker.claim()
        await page.until(f"{status}.includes('will appear in a moment')")
        await worker.publish(claimed, ball)
        await page.until("document.querySelector('.viewer canvas') !== null")
        await worker.fail(claimed, JobError(code=ErrorCode.INTERNAL, message="It broke."))
        await page.until(f"{status}.includes('The job failed. The mask shows what was computed before.')")
        other = await services.submit(volume={"shape": [16, 20, 24]})
        await services.http.delete(f"/v1/jobs/{other.job_id}")
        await page.value(f"location.hash = {json.dumps('#/jobs/' + other.job_id)}")
        await page.until(f"{status}.includes('was cancelled before there was a mask')")


async def test_a_large_tomogram_is_shown_by_images_of_the_server(
    services: Services, worker: Worker, tmp_path: Path
) -> None:
    """A section of 10 GB is there without any binned chunk, bright and dark where the tomogram is."""
    file_id = large_upload(services.settings.home, noise=False)
    path = services.settings.home / "uploads" / "files" / file_id / "volume.mrc"
    rows, columns = LARGE[1:]
    half = np.full((rows // 2, columns), 100, np.int16)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - LARGE[0] // 2 * rows * columns * 2)
        file.write(half.tobytes() + (-half).tobytes())
    job = await services.submit(volume={"file_id": file_id}, engine="demo")
    async with tab(f"{services.url}/#/jobs/{job.job_id}", tmp_path / "profile") as page:
        await page.until(f"{canvas('z')} !== null")

        async def halves() -> tuple[int, int]:
            url = await page.value(f"{canvas('z')}.toDataURL()")
            shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("L"))
            middle, column = shown.shape[0] // 2, shown.shape[1] // 4
            above, below = shown[middle - 60 : middle - 20, column], shown[middle + 20 : middle + 60, column]
            return int(np.median(above)), int(np.median(below))

        async def drawn() -> bool:
            bright, dark = await halves()
            return bright > 200 and dark < 50

        await wait_until_async(drawn, what="the section")
        loaded = "performance.getEntriesByType('resource').map(({name}) => name)"
        assert not [name for name in await page.value(loaded) if ".ome.zarr/" in name and "/c/" in name]
