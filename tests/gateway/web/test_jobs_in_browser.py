"""The job pages in a real browser: the list, the form, the keyboard, and what a visitor is told."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.gateway.chromium import Tab, tab
from websockets.asyncio.client import connect

from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobError
from cryomamba.volumes import write_volume
from cryomamba_server.tokens import Scope, TokenStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.gateway.conftest import Services

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]

AXE = Path(__file__).parents[3] / "services" / "gateway" / "web" / "node_modules" / "axe-core" / "axe.min.js"
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowDown": 40}
SERIOUS = """axe.run().then(({violations}) => violations.filter(({impact}) => ["serious", "critical"].includes(impact))
    .map(({id, nodes}) => `${id}: ${nodes.map(({html}) => html).join(" ")}`))"""


async def press(page: Tab, key: str) -> None:
    """Press a key and let it go."""
    text = {"Enter": "\r", " ": " "}.get(key, "")
    fields: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": KEYS[key], "code": "Space" if key == " " else key}
    await page.call("Input.dispatchKeyEvent", type="keyDown", text=text, **fields)
    await page.call("Input.dispatchKeyEvent", type="keyUp", **fields)


async def tab_to(page: Tab, selector: str) -> None:
    """Press Tab until an element has the keyboard."""
    reached = f"document.activeElement.matches({json.dumps(selector)})"
    for _ in range(80):
        if await page.value(reached):
            return
        await press(page, "Tab")
    raise AssertionError(f"{selector} cannot be reached with Tab")


async def show(page: Tab, fragment: str) -> None:
    """Go to a page of the address."""
    await page.value(f"location.hash = {json.dumps(fragment)}")


def tomogram(folder: Path, name: str = "t1.mrc") -> Path:
    """A small MRC file."""
    path = folder / name
    write_volume(path, np.random.default_rng(5).normal(size=(8, 16, 16)).astype(np.float32), 10.0)
    return path


async def drop(page: Tab, files: Sequence[Path]) -> None:
    """Drop files on the form, as the mouse does."""
    contents = {path.name: base64.b64encode(path.read_bytes()).decode() for path in files}
    await page.value(
        f"""{{const dropped = new DataTransfer();
        for (const [name, content] of Object.entries({json.dumps(contents)}))
          dropped.items.add(new File([Uint8Array.from(atob(content), (one) => one.charCodeAt(0))], name));
        document.getElementById("drop-zone")
          .dispatchEvent(new DragEvent("drop", {{dataTransfer: dropped, bubbles: true, cancelable: true}}))}}"""
    )


async def enter(page: Tab, selector: str, text: str) -> None:
    """Enter a text in a field, or choose it in a list."""
    await page.value(
        f"""{{const field = document.querySelector({json.dumps(selector)}); field.value = {json.dumps(text)};
        for (const type of ["input", "change"]) field.dispatchEvent(new Event(type, {{bubbles: true}}))}}"""
    )


async def click(page: Tab, selector: str) -> None:
    """Click an element as soon as it is there."""
    await page.until(f"document.querySelector({json.dumps(selector)}) !== null")
    await page.value(f"document.querySelector({json.dumps(selector)}).click()")


async def test_two_hundred_jobs_are_listed_searched_and_returned_to(idle_services: Services, tmp_path: Path) -> None:
    """Only rows near the window are drawn, all can be reached and found, and the list opens at the job chosen last."""
    services = idle_services
    await services.start_broker()
    await services.start_worker()
    url = await services.start_gateway()
    ids = [(await services.submit(volume={"shape": [8, 8, 8]}, name=f"sample{n:03}")).job_id for n in range(200)]
    await services.http.delete(f"/v1/jobs/{ids[7]}")
    async with tab(url, tmp_path / "profile") as page:
        await page.until("document.querySelectorAll('#jobs li').length > 5")
        assert await page.value("document.querySelectorAll('#jobs li').length") < 60
        # The end is at the bottom, once the older jobs are loaded, too.
        await page.until(
            "scrollTo(0, document.body.scrollHeight), document.querySelector('#jobs li:last-child a')"
            ".textContent === 'sample000'"
        )
        assert await page.value("document.querySelector('#jobs li:last-child').ariaPosInSet") == "200"
        assert await page.text(".filters .summary") == "200 jobs"

        await click(page, f"[data-job='{ids[3]}'] a")
        await page.until("document.getElementById('job-name')?.textContent === 'sample003'")
        assert await page.value("location.hash") == f"#/jobs/{ids[3]}"
        await click(page, ".neighbours a")
        row = f"document.querySelector('[data-job=\"{ids[3]}\"]')"
        await page.until(
            f"{row}?.getBoundingClientRect().bottom <= innerHeight && {row}.contains(document.activeElement)"
        )

        await enter(page, "#search", "SAMPLE01")
        await page.until("document.querySelectorAll('#jobs li').length === 10")
        await enter(page, "#search", "")
        await enter(page, "#filter-state", "cancelled")
        await page.until("document.querySelectorAll('#jobs li').length === 1")
        assert await page.text("#jobs a") == "sample007"
        assert await page.value("location.hash") == "#/jobs?state=cancelled"
        await click(page, ".filters .summary button")
        await page.until("document.querySelectorAll('#jobs li').length > 5")


async def test_a_filter_is_asked_of_the_gateway(idle_services: Services, tmp_path: Path) -> None:
    """An address shows old jobs without those between; jobs come and go with their state; pages follow in order."""
    services = idle_services
    await services.start_broker()
    worker = await services.start_worker()
    url = await services.start_gateway()
    ids = [(await services.submit(volume={"shape": [8, 8, 8]}, name=f"sample{n:03}")).job_id for n in range(430)]
    await services.http.delete(f"/v1/jobs/{ids[3]}")
    asked = (
        "performance.getEntriesByType('resource').map(({name}) => decodeURIComponent(name.split('/v1/jobs?')[1] ?? ''))"
        ".filter(Boolean)"
    )
    names = "[...document.querySelectorAll('#jobs a')].map(({textContent}) => textContent).join()"
    async with tab(f"{url}/#/jobs?state=cancelled&search=Sample&period=day", tmp_path / "profile") as page:
        await page.until(f"{names} === 'sample003'")
        assert await page.value("document.getElementById('search').value") == "Sample"
        filtered = [query for query in await page.value(asked) if "search" in query]
        assert len(filtered) == 1
        assert filtered[0].startswith("search=Sample&state=cancelled&created_after=2")
        assert not [query for query in await page.value(asked) if "cursor" in query]

        await enter(page, "#search", "")
        await enter(page, "#filter-period", "any")
        await enter(page, "#filter-state", "running")
        await page.until("document.querySelector('.jobs').textContent.includes('No job matches.')")
        job = await worker.claim()
        await page.until(f"{names} === 'sample000'")
        await worker.progress(job, 0.5)
        await page.until("document.querySelector('#jobs').textContent.includes('50 %')")
        await worker.fail(job, JobError(code=ErrorCode.INTERNAL, message="It broke."))
        await page.until(f"{names} === ''")

        await enter(page, "#filter-state", "pending")
        last = "document.querySelector('#jobs li:last-child')"
        await page.until(f"scrollTo(0, document.body.scrollHeight), {last}?.textContent.includes('sample001')")
        assert await page.value(f"{last}.ariaPosInSet") == "428"
        assert await page.text(".filters .summary") == "428 jobsShow all"
        assert len([query for query in await page.value(asked) if "state=pending&limit=200&cursor=" in query]) >= 2

        # Days stay in the address; a name may come with one.
        await enter(page, "#filter-period", "dates")
        await enter(page, "#filter-to", "2020-01-31")
        await page.until("document.querySelector('.jobs').textContent.includes('No job matches.')")
        assert await page.value("location.hash") == "#/jobs?state=pending&to=2020-01-31"
        await page.value("location.hash = '#/jobs?name=sample007'")
        await page.until(f"{names} === 'sample007'")
        assert "named “sample007”" in await page.text(".filters .summary")


async def test_a_tab_beyond_the_limit_is_told_why(idle_services: Services, tmp_path: Path) -> None:
    """The 33rd tab of a token lists the jobs, says why it gets no updates, and gets them once another is closed."""
    services = idle_services
    token, _ = TokenStore(services.settings.keys).create("ada", [Scope.WRITE], days=1)
    await services.start_broker()
    await services.start_worker()
    url = await services.start_gateway()
    services.http.headers["Authorization"] = f"Bearer {token}"
    await services.submit(volume={"shape": [8, 8, 8]}, name="first")
    address, headers = f"{url.replace('http', 'ws', 1)}/v1/ws", {"Authorization": f"Bearer {token}"}
    limit = services.settings.sockets_per_token
    tabs = [await connect(address, additional_headers=headers, proxy=None) for _ in range(limit)]
    for one in tabs:
        # An answer shows that the connection is counted.
        await one.send('{"type": "ping"}')
        await one.recv()
    try:
        async with tab(url, tmp_path / "profile") as page:
            await page.until("!!document.getElementById('token')")
            await enter(page, "#token", token)
            await click(page, "#sign-in button")
            await page.until("document.getElementById('notice').textContent.includes('already has')")
            notice = await page.text("#notice")
            assert notice.startswith(
                f"This page gets no live updates: this token already has {limit} connections open."
            )
            assert "Close another tab" in notice
            await page.until("document.querySelector('#jobs a')?.textContent === 'first'")
            await tabs.pop().close()
            await page.until("document.getElementById('notice').textContent === ''")
    finally:
        for one in tabs:
            await one.close()


async def test_a_job_is_run_and_deleted_with_the_keyboard_alone(idle_services: Services, tmp_path: Path) -> None:
    """From the empty list to the form, to the running job, to its end, and back."""
    services = idle_services
    await services.start_broker()
    worker = await services.start_worker()
    url = await services.start_gateway()
    async with tab(url, tmp_path / "profile") as page:
        await page.until("!!document.getElementById('no-jobs')")
        await tab_to(page, "#no-jobs a")
        await press(page, "Enter")
        await page.until("document.querySelector('#engines input:checked')?.value === 'demo'")
        await tab_to(page, "#engines input")
        await tab_to(page, "#start")
        await press(page, "Enter")
        await page.until("!!document.getElementById('job-name')")
        job = await worker.claim()
        await worker.progress(job, 0.5)
        await page.until("document.getElementById('job-status').textContent.includes('50 %')")
        await tab_to(page, "#cancel")
        await press(page, "Enter")
        await page.until("document.getElementById('job-status').textContent.includes('Stopping')")
        await page.until("document.activeElement.matches('.actions')")
        await worker.fail(job, JobError(code=ErrorCode.CANCELLED, message="The job was cancelled."))
        await page.until("!!document.getElementById('delete')")
        await tab_to(page, "#delete")
        await press(page, "Enter")
        await page.until("!!document.querySelector('dialog[open]')")
        await tab_to(page, "#confirm-delete")
        await press(page, "Enter")
        await page.until("!!document.getElementById('no-jobs')")
        await page.until("document.activeElement.id === 'content'")
    assert (await services.http.get("/v1/jobs")).json()["jobs"] == []


async def test_files_are_dropped_and_what_is_wrong_is_said_in_place(idle_services: Services, tmp_path: Path) -> None:
    """Two files become two jobs; a wrong file, a wrong number and a refused path are marked, and nothing is lost."""
    services = idle_services
    await services.start_broker()
    await services.start_worker()
    url = await services.start_gateway()
    wrong = tmp_path / "notes.mrc"
    wrong.write_text("not a tomogram " * 100)
    async with tab(f"{url}/#/new", tmp_path / "profile") as page:
        await page.until("!!document.querySelector('#engines input:checked')")
        await drop(page, [wrong])
        await page.until("document.getElementById('file-problems')?.textContent.includes('not an MRC file')")
        await enter(page, "#param-seconds", "-1")
        await click(page, "#start")
        await page.until("document.activeElement.id === 'param-seconds'")
        assert "Must be at least 0." in await page.text("#parameters-form")
        await enter(page, "#param-seconds", "2")

        await drop(page, [tomogram(tmp_path), tomogram(tmp_path, "<b>t2.mrc")])
        await page.until("document.querySelectorAll('#volumes [data-phase=done]').length === 2")
        assert "8 × 16 × 16 voxels of 10 Å" in await page.text("#volumes")
        assert await page.value("document.querySelectorAll('main b').length") == 0
        await click(page, ".choices button")
        await enter(page, "#path", "/elsewhere/t3.mrc")
        await click(page, "#add-path")
        await enter(page, "#job-label", "night")
        await click(page, "#start")
        # The jobs of the files run; what was refused stays, with the reason and what was entered.
        await page.until("document.querySelectorAll('#volumes > li').length === 1")
        assert "not in an allowed input directory" in await page.text("#volumes")
        assert await page.value("document.getElementById('param-seconds').value") == "2"
    jobs = (await services.http.get("/v1/jobs")).json()["jobs"]
    assert sorted(job["name"] for job in jobs) == ["night · <b>t2.mrc", "night · t1.mrc"]
    assert all(job["params"] == {"seconds": 2} for job in jobs)


async def test_a_file_may_be_dropped_anywhere(idle_services: Services, tmp_path: Path) -> None:
    """On the empty list it opens the form with the file, instead of leaving the page; the title says how a job does."""
    services = idle_services
    await services.start_broker()
    worker = await services.start_worker()
    url = await services.start_gateway()
    path = tomogram(tmp_path)
    async with tab(url, tmp_path / "profile") as page:
        await page.until("document.getElementById('no-jobs')?.textContent.includes('Drop a tomogram here to start')")
        await drop_at(page, path, 400, 800)
        await page.until("document.querySelector('.upload')?.dataset.phase === 'done'")
        assert await page.value("location.hash") == "#/new"
        assert "t1.mrc" in await page.text("#volumes")
        assert await page.value("document.title") == "New job · CryoMamba"
        await click(page, "#start")
        await page.until("document.title === 'Waiting · t1.mrc · CryoMamba'")
        job = await worker.claim()
        await worker.progress(job, 0.42)
        await page.until("document.title === '42 % · t1.mrc · CryoMamba'")
        await worker.fail(job, JobError(code=ErrorCode.INTERNAL, message="It broke."))
        await page.until("document.title === 'Failed · t1.mrc · CryoMamba'")


async def drop_at(page: Tab, path: Path, x: int, y: int) -> None:
    """Drag a file from another window and drop it."""
    dragged = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        await page.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=dragged)


async def test_tomograms_on_the_server_are_found_and_ticked(idle_services: Services, tmp_path: Path) -> None:
    """From the allowed folder into one below it; ticked ones become jobs, and a broken one cannot be ticked."""
    services = idle_services
    session = tmp_path / "data" / "<i>session"
    session.mkdir(parents=True)
    names = ["t1.mrc", "t2.mrc", "t10.mrc"]
    for name in names:
        tomogram(session, name)
    (session / "broken.mrc").write_text("not a tomogram")
    services.settings = services.settings.model_copy(update={"roots": (tmp_path / "data",)})
    await services.start_broker()
    await services.start_worker()
    url = await services.start_gateway()
    async with tab(f"{url}/#/new", tmp_path / "profile") as page:
        await page.until("!!document.querySelector('#engines input:checked')")
        await tab_to(page, "#show-server")
        await press(page, "Enter")
        # The only folder that is allowed is open already.
        await page.until(
            f"document.querySelector('.browser-path')?.textContent === {json.dumps(str(tmp_path / 'data'))}"
        )
        await tab_to(page, "button.entry")
        await press(page, "Enter")
        entries = "[...document.querySelectorAll('#server-files .entry')]"
        await page.until(f"{entries}.length === 4")
        listed = await page.value(f"{entries}.map(({{innerText}}) => innerText)")
        assert [text.split("\n")[0] for text in listed] == ["broken.mrc", *names]
        assert "not an MRC volume" in listed[0]
        assert "8 × 16 × 16 voxels of 10 Å" in listed[1]
        boxes = "[...document.querySelectorAll('#server-files input[type=checkbox]')]"
        assert await page.value(f"{boxes}.map(({{disabled}}) => disabled)") == [True, False, False, False]
        await page.value(f"{boxes}[3].focus()")
        await press(page, " ")
        await page.until("document.querySelectorAll('#volumes > li').length === 1")
        await click(page, "#tick-all")
        await page.until("document.querySelectorAll('#volumes > li').length === 3")
        await page.value(f"{boxes}[2].click()")
        await page.until("document.querySelectorAll('#volumes > li').length === 2")
        if AXE.exists():
            await page.value(f"{AXE.read_text(encoding='utf-8')}; 0")
            assert await page.value(SERIOUS) == []
        # It opens again where it was, and up is the list of all.
        await click(page, "#show-server")
        await click(page, "#show-server")
        await page.until(f"{boxes}.filter(({{checked}}) => checked).length === 2")
        await click(page, "#folder-up")
        await page.until("document.querySelectorAll('button.entry').length === 1")
        assert await page.text("button.entry") == "<i>session"
        await click(page, "#start")
        await page.until("location.hash.startsWith('#/jobs')")
        await page.until("document.querySelectorAll('#jobs li').length === 2")
    jobs = (await services.http.get("/v1/jobs")).json()["jobs"]
    assert sorted(job["volume"]["path"] for job in jobs) == [str(session / "t1.mrc"), str(session / "t10.mrc")]


async def test_a_form_survives_a_lost_connection(idle_services: Services, tmp_path: Path) -> None:
    """The visitor is told, the job is submitted once when the server is back, and what was entered is still there."""
    services = idle_services
    await services.start_broker()
    await services.start_worker()
    url = await services.start_gateway()
    async with tab(f"{url}/#/new", tmp_path / "profile") as page:
        await page.until("document.querySelector('#engines input:checked')?.value === 'demo'")
        await enter(page, "#param-seconds", "7")
        await page.call("Network.enable")
        await connected(page, online=False)
        await click(page, "#start")
        await page.until("document.getElementById('form-problem').textContent.includes('Trying again')")
        assert await page.value("document.getElementById('param-seconds').value") == "7"
        await connected(page, online=True)
        await page.until("!!document.getElementById('job-name')")
    (job,) = (await services.http.get("/v1/jobs")).json()["jobs"]
    assert job["params"] == {"seconds": 7}


async def test_a_job_is_run_again_with_changes(idle_services: Services, tmp_path: Path) -> None:
    """The form opens with all that a failed job was run with, and only what is changed differs."""
    services = idle_services
    await services.start_broker()
    worker = await services.start_worker()
    url = await services.start_gateway()
    source = tomogram(tmp_path)
    first = await services.submit(
        volume={"path": str(source), "voxel_size_A": [12, 11, 10]}, engine="demo", params={"seconds": 5}, name="night"
    )
    error = JobError(code=ErrorCode.OUT_OF_MEMORY, message="The engine needed too much memory.", hint="Buy more.")
    await worker.fail(await worker.claim(), error)
    async with tab(f"{url}/#/jobs/{first.job_id}", tmp_path / "profile") as page:
        await page.until("document.getElementById('job-errors')?.textContent.includes('Try a binned tomogram')")
        await click(page, "#change")
        await page.until("document.getElementById('param-seconds')?.value === '5'")
        assert await page.value("document.getElementById('voxel-size').value") == "12 11 10"
        assert "t1.mrc" in await page.text("#volumes")
        await enter(page, "#param-seconds", "6")
        await click(page, "#start")
        await page.until(f"!!document.getElementById('job-name') && !location.hash.includes('{first.job_id}')")
    second, again = (await services.http.get("/v1/jobs")).json()["jobs"]
    assert again["job_id"] == first.job_id
    assert (second["name"], second["params"], second["volume"]["path"]) == ("night", {"seconds": 6}, str(source))
    assert second["volume"]["voxel_size_A"] == [12, 11, 10]


async def connected(page: Tab, *, online: bool) -> None:
    """Cut or restore the browser's connection."""
    await page.call(
        "Network.emulateNetworkConditions", offline=not online, latency=0, downloadThroughput=-1, uploadThroughput=-1
    )


async def test_no_page_has_a_serious_accessibility_problem(idle_services: Services, tmp_path: Path) -> None:
    """axe finds none at three widths, light and dark, on the pages for jobs in every state, the form and the server."""
    if not AXE.exists():
        pytest.skip("The page's packages are not installed ('make web' installs them)")
    services = idle_services
    await services.start_broker()
    worker = await services.start_worker()
    url = await services.start_gateway()
    done = await services.submit(volume={"shape": [8, 8, 8]}, name="done")
    failing = await services.submit(volume={"shape": [8, 8, 8]}, name="failed")
    await worker.finish(await worker.claim(), {"mask.mrc": b"", "stats.json": STATISTICS}, estimates={"noise": 0.4})
    await worker.fail(await worker.claim(), JobError(code=ErrorCode.ENGINE_FAILED, message="The engine failed."))
    running = await services.submit(volume={"shape": [8, 8, 8]}, name="running")
    await worker.progress(await worker.claim(), 0.4)
    await services.submit(volume={"shape": [8, 8, 8]}, name="pending")
    fragments = ["#/jobs", *(f"#/jobs/{one.job_id}" for one in (done, failing, running)), "#/new", "#/server"]
    async with tab(url, tmp_path / "profile") as page:
        await page.until("document.querySelectorAll('#jobs li').length === 4")
        await page.value(f"{AXE.read_text(encoding='utf-8')}; 0")
        for width, theme in ((360, "light"), (1280, "dark"), (2560, "light"), (360, "dark")):
            await page.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
            )
            await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            for fragment in fragments:
                await show(page, fragment)
                await page.until("!!document.querySelector('#jobs, #job-status, #engines input, #workers li')")
                assert await page.value(SERIOUS) == [], (width, theme, fragment)
                assert await page.value("document.documentElement.scrollWidth <= innerWidth"), (width, fragment)


async def test_what_shows_only_for_a_while_is_accessible_too(idle_services: Services, tmp_path: Path) -> None:
    """axe finds nothing serious on the form to sign in, while a file is sent, and in the question before a deletion."""
    if not AXE.exists():
        pytest.skip("The page's packages are not installed ('make web' installs them)")
    services = idle_services
    token, _ = TokenStore(services.settings.keys).create("ada", [Scope.WRITE], days=1)
    await services.start_broker()
    worker = await services.start_worker()
    url = await services.start_gateway()
    services.http.headers["Authorization"] = f"Bearer {token}"
    job = await services.submit(volume={"shape": [8, 8, 8]}, name="first")
    await worker.finish(await worker.claim(), {"mask.mrc": b"mask"})
    path = tmp_path / "large.mrc"
    write_volume(path, np.zeros((64, 64, 64), np.float32), 10.0)
    async with tab(url, tmp_path / "profile") as page:
        await page.resize(360, 740)
        for theme in ("light", "dark"):
            await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            await page.until("!!document.getElementById('sign-in')")
            await page.value(f"{AXE.read_text(encoding='utf-8')}; 0")
            assert await page.value(SERIOUS) == [], ("sign in", theme)
        await enter(page, "#token", token)
        await click(page, "#sign-in button")
        await page.until("document.querySelectorAll('#jobs li').length === 1")

        await show(page, "#/new")
        await page.until("!!document.querySelector('#engines input:checked')")
        await page.call("Network.enable")
        # So slow that the file is on its way for all of the test.
        await page.call(
            "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=1000
        )
        await drop(page, [path])
        await page.until("document.querySelector('.upload')?.dataset.phase === 'sending'")
        for theme in ("light", "dark"):
            await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            assert await page.value(SERIOUS) == [], ("upload", theme)
        assert await page.value("document.querySelector('.upload').dataset.phase") == "sending"
        await show(page, f"#/jobs/{job.job_id}")
        await page.until("!!document.getElementById('uploads')")
        assert await page.value(SERIOUS) == [], "upload, on another page"
        await click(page, "#delete")
        await page.until("!!document.querySelector('dialog[open]')")
        for theme in ("light", "dark"):
            await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            assert await page.value(SERIOUS) == [], ("delete", theme)


async def test_a_finished_job_is_described_in_full(idle_services: Services, tmp_path: Path) -> None:
    """Estimates are never cut off, a thickness is in ångström, each file has the name that it is saved under, and a
    long name without spaces does not widen the page.
    """
    services = idle_services
    await services.start_broker()
    worker = await services.start_worker()
    url = await services.start_gateway()
    job = await services.submit(volume={"path": str(tomogram(tmp_path))}, engine="demo", name="a" * 200)
    estimates = {"contrast": "dark", "tilt_range_deg": 60.4, "lower_threshold": 108}
    files = {"mask.mrc": b"x", "stats.json": STATISTICS}
    await worker.finish(await worker.claim(), files, estimates=estimates)
    async with tab(f"{url}/#/jobs/{job.job_id}", tmp_path / "profile") as page:
        for width in (360, 1280, 2560):
            await page.resize(width, 900)
            await page.until(f"innerWidth === {width} && document.querySelectorAll('.plot').length === 2")
            cut = "[...document.querySelectorAll('.facts dd, .facts dt')].filter((e) => e.scrollWidth > e.clientWidth)"
            assert await page.value(f"{cut}.length") == 0
            assert await page.value("document.documentElement.scrollWidth <= innerWidth"), width
            assert await page.value("document.getElementById('job-estimates').innerText.replaceAll('\\n', ' ')") == (
                "Contrast dark Tilt range 60.4° Lower threshold 108"
            )
        assert "Mean thickness (Å)40 ± 3" in await page.text("#statistics")
        assert "Median 32 Å" in (await page.text("#results")).replace("\u00a0", " ")
        names = "[...document.querySelectorAll('#files code')].map(({textContent}) => textContent)"
        assert await page.value(names) == ["t1__demo.mrc", "t1__demo_stats.json"]


STATISTICS = json.dumps(
    {
        "labels": [
            {
                "label": 1,
                "name": "ball",
                "voxels": 1000,
                "volume_nm3": 1000.0,
                "surface_nm2": 500.0,
                "medial_surface_nm2": None,
                "thickness_A": 40.0,
                "thickness_sd_A": 3.0,
                "fraction": 0.1,
                "fraction_within": None,
                "instances": 3,
            }
        ],
        "instances": [
            {"instance": n, "label": 1, "name": "ball", "volume_nm3": 100.0 * n, "thickness_A": 30.0 + n}
            for n in (1, 2, 3)
        ],
        "instance_count": 3,
        "parameters": {},
        "threshold": None,
        "picks": None,
        "within": None,
    }
).encode()
