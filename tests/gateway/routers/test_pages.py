"""The gateway's pages: their content, what they may run, and the viewer in a real browser."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hatchling.builders.wheel import WheelBuilder
from tests.gateway.chromium import Tab, tab
from tests.gateway.web.viewing import labels_on_background, plain_mask, show_plainly, until_shown

from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobError, JobRecord
from cryomamba.volumes import VolumeWarning
from cryomamba_gateway.png import slice_png
from cryomamba_gateway.routers.pages import FILES
from cryomamba_server.tokens import Scope, TokenStore

if TYPE_CHECKING:
    from tests.gateway.conftest import Mask, Services, Worker

ROOT = Path(__file__).parents[3]
MARKUP = """<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>&lt;b&gt;"""
in_session = pytest.mark.asyncio(loop_scope="session")
browsed = pytest.mark.browser


def test_the_pages_are_in_the_wheel(tmp_path: Path) -> None:
    """Every installation has them."""
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = zipfile.ZipFile(built).namelist()
    assert {f"cryomamba_gateway/web/{name}" for name in FILES.values()} <= set(names)


@in_session
@pytest.mark.parametrize("path", FILES)
async def test_a_page_is_public_and_limits_what_it_loads(services: Services, path: str) -> None:
    """Its policy allows no inline script, and no frame in another page."""
    reply = await services.http.get(path)
    assert reply.status_code == 200
    policy = dict(part.split(maxsplit=1) for part in reply.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in policy["script-src"]
    assert policy["connect-src"] == "'self'"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    head = await services.http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(reply.content))


@in_session
async def test_the_first_page_loads_nothing_from_other_servers(services: Services) -> None:
    """The page, its style and its scripts name no other server, and the page has no inline script."""
    for path in ("/", "/web/page.css", "/web/main.js"):
        named = re.findall(r"(?:https?:)?//[a-z0-9][\w.-]*", (await services.http.get(path)).text)
        # Names of XML vocabularies; nothing is loaded from them.
        assert set(named) <= {"http://www.w3.org"}, path
    page = (await services.http.get("/")).text
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
    assert " on" not in "".join(re.findall(r"<[^>]+>", page))
    assert "style=" not in page


@in_session
@browsed
async def test_the_reference_is_shown_without_another_server(services: Services, tmp_path: Path) -> None:
    """Every operation is on the page, nothing is requested elsewhere, its policy holds, requests can be tried."""
    document = (await services.http.get("/openapi.json")).json()
    paths = [*document["paths"].values(), *document["webhooks"].values()]
    described = sum(len(methods.keys() - {"head"}) for methods in paths)
    async with tab("about:blank", tmp_path / "profile", "--window-size=1280,1400") as shown:
        await shown.call("Page.enable")
        watching = "addEventListener('securitypolicyviolation', e => (window.broken ??= []).push(e.violatedDirective))"
        await shown.call("Page.addScriptToEvaluateOnNewDocument", source=f"window.broken = []; {watching}")
        await shown.call("Page.navigate", url=f"{services.url}/docs")
        await shown.until(f"document.querySelectorAll('.opblock').length == {described} && !!window.broken")
        await shown.value("document.querySelector('#operations-health-getHealth .opblock-summary-control').click()")
        await shown.until("!!document.querySelector('#operations-health-getHealth .try-out__btn')")
        await shown.value("document.querySelector('#operations-health-getHealth .try-out__btn').click()")
        await shown.until("!!document.querySelector('#operations-health-getHealth .execute')")
        await shown.value("document.querySelector('#operations-health-getHealth .execute').click()")
        await shown.until("document.querySelector('.live-responses-table')?.textContent.includes('uptime_s')")
        (tmp_path / "docs.png").write_bytes(await shown.picture())
        assert await shown.value("document.querySelectorAll('.opblock-head').length") == 0
        assert await shown.value("window.broken") == []
        loaded = await shown.value("performance.getEntriesByType('resource').map(one => new URL(one.name).origin)")
        assert set(loaded) == {services.url}


@in_session
async def test_pages_keep_to_hosts_and_methods(services: Services) -> None:
    """Another host name is refused, and so is another method."""
    foreign = await services.http.get("/", headers={"Host": "evil.example.net"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "forbidden")
    written = await services.http.post("/")
    assert (written.status_code, written.headers["Allow"]) == (405, "GET, HEAD")
    assert (await services.http.get("/web/nothing.js")).status_code == 404


@in_session
@browsed
async def test_a_user_signs_in_and_sees_a_live_preview(
    idle_services: Services, ball: Mask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sign in, list, live slices equal to the server's images, hostile text as text, a revoked token, sign out."""
    services = idle_services
    monkeypatch.setattr("cryomamba_gateway.access.auth.RECHECK_S", 0.05)
    tokens = TokenStore(services.settings.keys)
    token, info = tokens.create("ada", [Scope.WRITE], days=1)
    await services.start_broker()
    worker = await services.start_worker()
    url = await services.start_gateway()
    services.http.headers["Authorization"] = f"Bearer {token}"
    async with tab(url, tmp_path / "profile") as page:
        await page.until("document.getElementById('sign-in')?.checkVisibility()")
        await page.until("document.getElementById('readiness')?.textContent === 'Ready · 1 worker'")
        assert not await page.value("document.getElementById('content')?.checkVisibility()")
        await sign_in(page, token)
        assert await page.value("document.cookie") == ""

        job = await submit_and_watch(page, services, worker, ball)
        await worker.fail(job, JobError(code=ErrorCode.INTERNAL, message=MARKUP, hint=f"{MARKUP}\x1b[2J\u202eabc"))
        await page.until("document.getElementById('job-status')?.textContent.includes('Failed')")
        assert not await page.value("document.getElementById('job-warnings')?.checkVisibility()")
        assert f"{MARKUP}\\u{{1b}}[2J\\u{{202e}}abc" in await page.text("#job-errors")
        assert await page.value("document.querySelectorAll('main img, main script, main b').length") == 0
        assert (await page.value("document.title")).endswith(" · CryoMamba"), "a name is shown, never run"
        await see_findings(page, services, worker)

        tokens.revoke(info.id)
        await page.until("document.getElementById('sign-in')?.checkVisibility()")
        assert await page.value("document.querySelectorAll('#jobs li').length") == 0
        assert not await page.value("document.getElementById('job')?.checkVisibility()")
        await sign_in(page, tokens.create("bob", [Scope.READ], days=1)[0])
        assert await page.value("document.querySelectorAll('#jobs li').length") == 0
        await page.value("document.getElementById('sign-out').click()")
        await page.until("document.getElementById('sign-in')?.checkVisibility()")
        assert await page.value("fetch('/v1/jobs').then(({status}) => status)") == 401


async def sign_in(page: Tab, token: str) -> None:
    """Enter the token."""
    await page.value(f"document.getElementById('token').value = {json.dumps(token)}")
    await page.value("document.querySelector('#sign-in button').click()")
    await page.until("document.getElementById('content')?.checkVisibility()")


async def see_findings(page: Tab, services: Services, worker: Worker) -> None:
    """See what was found in a finished job: warnings, as text, and what the engine has estimated."""
    await services.submit(volume={"shape": [8, 8, 8]}, name="checked")
    job = await worker.claim()
    warning = VolumeWarning(code="mask_empty", message=f"Empty {MARKUP}.", hint="Look.")
    estimates = {"contrast": "dark", "contrast_margin": 0.1234, "tilt_range_deg": 60.0}
    await page.value("document.querySelector('.neighbours a').click()")
    await worker.finish(job, {}, warnings=(warning,), estimates=estimates)
    await page.until(f"document.querySelector('[data-job=\"{job.job_id}\"] a') !== null")
    await page.value(f"document.querySelector('[data-job=\"{job.job_id}\"] a').click()")
    await page.until("document.getElementById('job-status')?.textContent.includes('Done')")
    assert await page.text("#job-warnings li") == f"Empty {MARKUP}. Look."
    assert await page.text("#job-estimates") == "ContrastdarkContrast margin0.123Tilt range±60°"


async def submit_and_watch(page: Tab, services: Services, worker: Worker, ball: Mask) -> JobRecord:
    """Submit a job with a hostile label, and see its first frames."""
    await services.submit(volume={"shape": [16, 20, 24]}, name=MARKUP)
    await page.until("document.querySelector('#jobs a') !== null")
    assert await page.text("#jobs a") == MARKUP
    await page.value("document.querySelector('#jobs a').click()")
    await page.until("document.getElementById('job-name') !== null")
    assert await page.text("#job-name") == MARKUP
    job = await worker.claim()
    frame = await worker.publish(job, ball, codec="raw")
    await show_plainly(page, "z")
    await plain_mask(page)
    await until_shown(page, "z", labels_on_background(slice_png(frame, "z", None), 2))
    frame = await worker.publish(job, ball * 5, codec="deflate")
    await until_shown(page, "z", labels_on_background(slice_png(frame, "z", None), 2))
    await show_plainly(page, "x")
    await until_shown(page, "x", labels_on_background(slice_png(frame, "x", None), 2))
    assert await page.text("#preview-kind") == "Live preview"
    return job


@in_session
@browsed
async def test_without_tokens_no_sign_in_is_needed(services: Services, worker: Worker, tmp_path: Path) -> None:
    """The list is shown without a token, and text that became markup by mistake would not run."""
    job = await services.submit()
    async with tab(f"{services.url}/#{job.job_id}", tmp_path / "profile") as page:
        await page.until("document.getElementById('content')?.checkVisibility()")
        await page.until("document.getElementById('job')?.checkVisibility()")
        assert not await page.value("document.getElementById('sign-in')?.checkVisibility()")
        assert not await page.value("document.getElementById('sign-out')?.checkVisibility()")
        await page.value("document.querySelector('.neighbours a').click()")
        await page.until(f"document.querySelector('[data-job=\"{job.job_id}\"]')?.dataset.current === 'true'")
        with pytest.raises(ValueError, match="TrustedHTML"):
            await page.value(f"document.body.insertAdjacentHTML('beforeend', {json.dumps(MARKUP)})")


@in_session
@pytest.mark.parametrize("path", [*FILES, "/openapi.json"])
async def test_a_public_answer_is_sent_once(services: Services, path: str) -> None:
    """A client that has it already gets 304 and no body; another one gets the same bytes as the first."""
    first, second = await services.http.get(path), await services.http.get(path)
    tag = first.headers["ETag"]
    assert (second.content, second.headers["ETag"]) == (first.content, tag)
    for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        reply = await services.http.get(path, headers={"If-None-Match": condition})
        assert (reply.status_code, reply.content, reply.headers["ETag"]) == (304, b"", tag)
        assert reply.headers["Cache-Control"] == "no-cache"
    assert (await services.http.get(path, headers={"If-None-Match": '"other"'})).status_code == 200
    head = await services.http.head(path)
    assert (head.status_code, head.content, head.headers["ETag"]) == (200, b"", tag)
