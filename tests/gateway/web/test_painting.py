"""Strokes that are painted in the page, and real jobs that learn from them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from tests.gateway.chromium import Tab, tab
from tests.gateway.web.page_actions import AXE, SERIOUS, click
from tests.gateway.web.viewing import canvas, change, section, show_plainly

import cryomamba
from cryomamba.client import Client
from cryomamba.errors import JobFailedError
from cryomamba.masks.strokes import Strokes, read_strokes
from cryomamba.models.jobs import JobRecord
from cryomamba.stack import Stack
from cryomamba.testing import wait_until_async
from cryomamba.volumes import write_volume

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.system, pytest.mark.browser, pytest.mark.slow]

SHAPE = (24, 90, 120)
MIDDLE = 12
BALL = (MIDDLE, 40, 30)
PLACES = {"ball": ((40, 24), (43, 30), (40, 36)), "beside": ((10, 20), (12, 60), (80, 60)), "more": ((70, 95),)}


def balls(folder: Path) -> Path:
    """A tomogram of two dark balls in noise."""
    density = np.random.default_rng(3).normal(0, 1, SHAPE).astype(np.float32)
    z, y, x = np.indices(SHAPE)
    for a, b, c in (BALL, (MIDDLE, 60, 90)):
        density[(z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2 < 100] -= 5
    write_volume(folder / "balls.mrc", density, 10.0)
    return folder / "balls.mrc"


async def mouse(page: Tab, kind: str, at: tuple[float, float], *, button: str = "left") -> None:
    held = {"mouseReleased": 0}.get(kind, 1)
    await page.call("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button=button, buttons=held, clickCount=1)


async def paint(page: Tab, voxels: Sequence[tuple[int, int]]) -> None:
    """Draw through voxels (y, x) of the section, of which each is a pixel of the screen."""
    box = await page.value(
        f"(({{left, top, width, height}}) => [left, top, width, height])({canvas('z')}.getBoundingClientRect())"
    )
    left, top = round((box[2] - SHAPE[2]) / 2) + box[0], round((box[3] - SHAPE[1]) / 2) + box[1]
    points = [(left + x + 0.5, top + y + 0.5) for y, x in voxels]
    await mouse(page, "mousePressed", points[0])
    for point in points[1:]:
        await mouse(page, "mouseMoved", point)
    await mouse(page, "mouseReleased", points[-1])
    # The brush is drawn around the pointer.
    await page.call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)


async def choose_label(page: Tab, number: int) -> None:
    await page.value(f"document.querySelectorAll('input[name=paint-label]')[{number}].click()")


def strokes_of(record: JobRecord) -> Strokes:
    strokes: Any = record.params["strokes"]
    return read_strokes(strokes)


async def until_painted(client: Client, lines: int) -> JobRecord:
    """Wait until the newest job learns from so many lines, and return it."""

    async def found() -> JobRecord | None:
        newest = client.record(next(iter(client.jobs())).job_id)
        painted = newest.engine == "pixels" and len(strokes_of(newest).lines) == lines
        return newest if painted else None

    record = await wait_until_async(found, what=f"a job that learns from {lines} strokes")
    assert record is not None
    return record


async def test_what_is_painted_in_the_page_is_segmented(tmp_path: Path) -> None:
    """The page shows the voxels that the server takes as painted; a job learns from them, and from each further one."""
    path = balls(tmp_path)
    with (
        Stack(tmp_path / "services", roots=[tmp_path]).start().wait_ready() as stack,
        cryomamba.connect(stack.http_url) as client,
    ):
        first = client.submit(path, engine="threshold").wait()
        async with tab(f"{stack.http_url}/#/jobs/{first.job_id}", tmp_path / "profile") as page:
            await show_plainly(page, "z")
            await change(page, "#layer", "none")
            await click(page, "#paint")
            await page.until("!!document.getElementById('paint-controls')")
            assert "background" in await page.text("#paint-controls .hint")
            unpainted = await settled(page)
            await paint(page, PLACES["ball"])
            shown = np.any(await settled(page) != unpainted, axis=2)
            await choose_label(page, 0)
            await paint(page, PLACES["beside"])
            await click(page, "#segment-strokes:not([disabled])")

            await page.until(f"location.hash !== '#/jobs/{first.job_id}'")
            record = await until_painted(client, 2)
            assert f"#/jobs/{record.job_id}" == await page.value("location.hash")
            voxels, labels = strokes_of(record).painted()
            ball = voxels[labels == 1]
            assert (ball[:, 0] == MIDDLE).all()
            assert np.argwhere(shown).tolist() == ball[:, 1:].tolist()
            client.job(record.job_id).wait()

            await page.until("document.getElementById('job-status')?.textContent.includes('Done')")
            await until_fits(page)
            await paint(page, PLACES["more"])
            newest = await until_painted(client, 3)
            assert newest.volume.path == str(path)
            client.job(newest.job_id).wait()
            mask = client.download(newest.job_id, to=tmp_path / "mask.mrc")
            with mrcfile.open(mask) as found:
                assert found.data[BALL] == 1
                assert found.data[2, 10, 20] == 0

            await page.until("document.getElementById('job-status')?.textContent.includes('Done')")
            await page.value("document.getElementById('undo-stroke').click()")
            await until_painted(client, 2)


async def settled(page: Tab) -> np.ndarray:
    """Return the pixels of the section once it no longer changes."""
    before: list[np.ndarray] = [await section(page, "z", SHAPE[2], SHAPE[1])]

    async def same() -> bool:
        now = await section(page, "z", SHAPE[2], SHAPE[1])
        unchanged = np.array_equal(before[0], now) and len(np.unique(now[..., 0])) > 50
        before[0] = now
        return unchanged

    await wait_until_async(same, what="the section")
    return before[0]


async def until_fits(page: Tab) -> None:
    """Wait until the viewer of the job that followed has the camera of the one before."""
    await page.until(f"{canvas('z')} !== null && {canvas('z')}.width > 0")
    await settled(page)


async def test_strokes_are_erased_and_painted_with_keys(tmp_path: Path) -> None:
    """The eraser removes the line that it touches, keys paint at the crosshair, and axe finds nothing serious."""
    if not AXE.exists():
        pytest.skip("the page's packages are not installed ('make web' installs them)")
    path = balls(tmp_path)
    with (
        Stack(tmp_path / "services", roots=[tmp_path]).start().wait_ready() as stack,
        cryomamba.connect(stack.http_url) as client,
    ):
        first = client.submit(path, engine="threshold").wait()
        async with tab(f"{stack.http_url}/#/jobs/{first.job_id}", tmp_path / "profile") as page:
            await show_plainly(page, "z")
            await page.until("!!document.getElementById('paint')")
            await page.value(f"{canvas('z')}.focus()")
            await page.press("b")
            await page.until("!!document.getElementById('paint-controls')")
            await page.press("]")
            await page.press("p")
            await choose_label(page, 0)
            await paint(page, PLACES["beside"])
            await paint(page, PLACES["more"])
            await page.press("x")
            await paint(page, PLACES["beside"][:1])
            await click(page, "#segment-strokes:not([disabled])")
            lines = strokes_of(await until_painted(client, 2)).lines
            centre = tuple(side // 2 for side in SHAPE)
            assert [(line.label, line.radius, line.points[0]) for line in lines] == [
                (1, 4, centre),
                (0, 4, (MIDDLE, *PLACES["more"][0])),
            ]
            await page.until(f"location.hash !== '#/jobs/{first.job_id}'")
            await page.value(AXE.read_text(encoding="utf-8") + "; 0")
            for width in (360, 1280):
                await page.resize(width, 900)
                await page.until("!!document.getElementById('paint-controls')")
                assert await page.value(SERIOUS) == []
                assert await page.value("document.documentElement.scrollWidth <= innerWidth")


async def test_a_new_job_begins_with_painting(tmp_path: Path) -> None:
    """The form opens a page to paint on, without a mask; its job is not left running when another one learns."""
    path = balls(tmp_path)
    with (
        Stack(tmp_path / "services", roots=[tmp_path]).start().wait_ready() as stack,
        cryomamba.connect(stack.http_url) as client,
    ):
        async with tab(f"{stack.http_url}/#/new", tmp_path / "profile") as page:
            await click(page, "#engines input[value=pixels]")
            await page.until("document.getElementById('start').textContent === 'Start and paint'")
            await click(page, "#show-server")
            await click(page, "#server-files input")
            await click(page, "#start")
            await page.until("!!document.getElementById('paint-controls')")
            first = (await page.value("location.hash")).rpartition("/")[2]
            await page.until("!document.getElementById('layer') || document.getElementById('layer').value === 'none'")
            await show_plainly(page, "z")
            await settled(page)
            await paint(page, PLACES["ball"])
            await choose_label(page, 0)
            # What no job has learned yet is not lost with the page.
            await page.value("window.isOld = true")
            await page.call("Page.reload")
            await page.until("!window.isOld && document.getElementById('undo-stroke')?.disabled === false")
            assert await page.value("document.querySelectorAll('input[name=paint-label]')[0].checked")
            await show_plainly(page, "z")
            await settled(page)
            await paint(page, PLACES["beside"])
            await click(page, "#segment-strokes:not([disabled])")
            record = await until_painted(client, 2)
            assert (record.volume.path, record.name) == (str(path), "")
            with suppress(JobFailedError):
                client.job(first).wait()
            assert client.record(first).engine == "threshold"
            assert client.job(record.job_id).wait().state == "completed"
