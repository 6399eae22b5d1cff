"""The gateway's own pages: what they say, what they may run, and the viewer in a real browser."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
from hatchling.builders.wheel import WheelBuilder
from PIL import Image
from tests.gateway.chromium import Tab, tab

from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobError, JobRecord
from cryomamba.testing import wait_until_async
from cryomamba_gateway.png import slice_png
from cryomamba_gateway.routers.pages import FILES
from cryomamba_server.tokens import Scope, TokenStore

if TYPE_CHECKING:
    from tests.gateway.conftest import House, Mask, Worker

ROOT = Path(__file__).parents[2]
MARKUP = """<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>&lt;b&gt;"""
in_session = pytest.mark.asyncio(loop_scope="session")
browsed = pytest.mark.browser


def test_the_pages_are_in_the_wheel(tmp_path: Path) -> None:
    """Whoever installs the package has them."""
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = zipfile.ZipFile(built).namelist()
    assert {f"cryomamba_gateway/web/{name}" for name in FILES.values()} <= set(names)


@in_session
@pytest.mark.parametrize("path", FILES)
async def test_a_page_is_for_everybody_and_bounds_what_it_loads(house: House, path: str) -> None:
    """It comes with a policy that allows no inline script, and in no frame of another page."""
    reply = await house.http.get(path)
    assert reply.status_code == 200
    policy = dict(part.split(maxsplit=1) for part in reply.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in policy["script-src"]
    assert policy["connect-src"] == "'self'"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    head = await house.http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(reply.content))


@in_session
async def test_the_first_page_asks_nobody_else(house: House) -> None:
    """Neither the page nor its style nor its script names another server; nothing of the script stands in the page."""
    for path in ("/", "/web/page.css", "/web/viewer.js"):
        assert "//" not in re.sub(
            r"^ *//.*$|`\$\{scheme\}://", "", (await house.http.get(path)).text, flags=re.MULTILINE
        ), path
    page = (await house.http.get("/")).text
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
    assert " on" not in "".join(re.findall(r"<[^>]+>", page))
    assert "style=" not in page


@in_session
async def test_what_another_server_sends_is_held_against_a_checksum(house: House) -> None:
    """The page of the routes runs Swagger UI of one version, or none."""
    page = (await house.http.get("/docs")).text
    foreign = [tag for tag in re.findall(r"<(?:script|link)[^>]+>", page) if "https:" in tag]
    assert len(foreign) == 2
    assert all(re.search(r'integrity="sha384-[A-Za-z0-9+/]{64}"', tag) and "crossorigin" in tag for tag in foreign)


@in_session
async def test_pages_keep_to_hosts_and_methods(house: House) -> None:
    """A host that the gateway is not is refused, and so is writing."""
    foreign = await house.http.get("/", headers={"Host": "evil.example.net"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "forbidden")
    written = await house.http.post("/")
    assert (written.status_code, written.headers["Allow"]) == (405, "GET, HEAD")
    assert (await house.http.get("/web/nothing.js")).status_code == 404


async def until_drawn(page: Tab, png: bytes) -> None:
    """Wait until the canvas has the pixels of a picture."""
    wanted = pixels(png)

    async def drawn() -> bool:
        url = await page.value("document.getElementById('section').toDataURL()")
        return np.array_equal(pixels(base64.b64decode(url.partition(",")[2])), wanted)

    await wait_until_async(drawn, timeout=60, what="the section")


def pixels(png: bytes) -> npt.NDArray[np.uint8]:
    """Return a picture as RGBA, with zeros where it is invisible."""
    rgba = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))
    return np.where(rgba[..., 3:] > 0, rgba, 0).astype(np.uint8)


@in_session
@browsed
async def test_a_person_looks_in_and_watches(
    empty_house: House, ball: Mask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Token, list, live sections as the server draws them, hostile text as text, and out again, if need be at once."""
    house = empty_house
    monkeypatch.setattr("cryomamba_gateway.routers.websocket.RECHECK_S", 0.05)
    tokens = TokenStore(house.settings.keys)
    token, info = tokens.create("ada", [Scope.WRITE], days=1)
    await house.start_broker()
    worker = await house.start_worker()
    url = await house.start_gateway()
    house.http.headers["Authorization"] = f"Bearer {token}"
    async with tab(url, tmp_path / "profile") as page:
        await page.until("document.getElementById('door').checkVisibility()")
        await page.until("document.getElementById('health').textContent.startsWith('OK')")
        await page.until("document.getElementById('ready').textContent.startsWith('yes')")
        assert not await page.value("document.getElementById('inside').checkVisibility()")
        await come_in(page, token)
        assert await page.value("document.cookie") == ""

        job = await watched(page, house, worker, ball)
        await worker.fail(job, JobError(code=ErrorCode.INTERNAL, message=MARKUP, hint=MARKUP))
        await page.until("document.getElementById('told').textContent.includes('failed')")
        assert MARKUP in await page.text("#told")
        assert await page.value("document.querySelectorAll('main img, main script, main b').length") == 0
        assert await page.value("document.title") == "CryoMamba"

        tokens.revoke(info.id)
        await page.until("document.getElementById('door').checkVisibility()")
        assert await page.value("document.querySelectorAll('#jobs tr').length") == 0
        assert not await page.value("document.getElementById('job').checkVisibility()")
        await come_in(page, tokens.create("bob", [Scope.READ], days=1)[0])
        assert await page.value("document.querySelectorAll('#jobs tr').length") == 0
        await page.value("document.getElementById('leave').click()")
        await page.until("document.getElementById('door').checkVisibility()")
        assert await page.value("fetch('/v1/jobs').then(({status}) => status)") == 401


async def come_in(page: Tab, token: str) -> None:
    """Say the token."""
    await page.value(f"document.getElementById('token').value = {json.dumps(token)}")
    await page.value("document.querySelector('#door button').click()")
    await page.until("document.getElementById('inside').checkVisibility()")


async def watched(page: Tab, house: House, worker: Worker, ball: Mask) -> JobRecord:
    """Hand in a job with a hostile label; look at its first frames."""
    await house.submit(volume={"shape": [8, 8, 8]}, name=MARKUP)
    await page.until("document.querySelector('#jobs a') !== null")
    assert await page.text("#jobs a") == MARKUP
    await page.value("document.querySelector('#jobs a').click()")
    assert await page.text("#name") == MARKUP
    job = await worker.claim()
    await until_drawn(page, slice_png(await worker.publish(job, ball, codec="raw"), "z", None))
    frame = await worker.publish(job, ball * 5, codec="deflate")
    await until_drawn(page, slice_png(frame, "z", None))
    await page.value("{const a = document.getElementById('axis'); a.value = 'x'; a.dispatchEvent(new Event('change'))}")
    await until_drawn(page, slice_png(frame, "x", None))
    assert "the mask so far" in await page.text("#place")
    return job


@in_session
@browsed
async def test_without_tokens_a_person_is_in_at_once(house: House, worker: Worker, tmp_path: Path) -> None:
    """The list is there, nobody is asked for a token, and what a mistake would make markup of is not run."""
    job = await house.submit()
    async with tab(f"{house.url}/#{job.job_id}", tmp_path / "profile") as page:
        await page.until("document.getElementById('inside').checkVisibility()")
        await page.until("document.getElementById('job').checkVisibility()")
        assert not await page.value("document.getElementById('door').checkVisibility()")
        assert not await page.value("document.getElementById('leave').checkVisibility()")
        assert job.job_id in await page.value("document.querySelector('#jobs tr.chosen').dataset.job")
        with pytest.raises(ValueError, match="TrustedHTML"):
            await page.value(f"document.body.insertAdjacentHTML('beforeend', {json.dumps(MARKUP)})")
