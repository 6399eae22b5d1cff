"""The form for a new job in a browser: files, paths, and what the server refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.gateway.chromium import tab
from tests.gateway.web.page_actions import AXE, SERIOUS, click, connected, drop, drop_at, enter, press, tab_to, tomogram

from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobError

if TYPE_CHECKING:
    from tests.gateway.conftest import Services

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]


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


async def test_start_waits_until_a_chosen_file_was_read(idle_services: Services, tmp_path: Path) -> None:
    """Pressed while the browser still reads the header, even twice, it starts one job, for that file."""
    services = idle_services
    await services.start_broker()
    await services.start_worker()
    url = await services.start_gateway()
    async with tab(f"{url}/#/new", tmp_path / "profile") as page:
        await page.until("!!document.querySelector('#engines input:checked')")
        await page.value(
            "{ const read = Blob.prototype.arrayBuffer, gate = new Promise((open) => { window.openGate = open; });"
            " Blob.prototype.arrayBuffer = function () { return gate.then(() => read.call(this)); }; }"
        )
        await drop(page, [tomogram(tmp_path)])
        await click(page, "#start")
        await page.until("document.getElementById('form-problem').textContent === 'Reading the files …'")
        await click(page, "#start")
        assert await page.value("document.querySelectorAll('#volumes .volume-name').length") == 0
        await page.value("window.openGate()")
        await page.until("document.getElementById('job-name')?.textContent === 't1.mrc'")
    assert len((await services.http.get("/v1/jobs")).json()["jobs"]) == 1


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
        # What is in it can be looked at before there is a job.
        await tab_to(page, ".preview-button")
        await press(page, "Enter")
        image = "document.querySelector('.preview img')"
        await page.until(f"{image}?.complete && {image}.naturalWidth === 16")
        assert await page.text(".preview figcaption") == "Section 5 of 8"
        await enter(page, ".preview input", "0")
        await page.until(f"{image}.src.endsWith('index=0') && {image}.complete && {image}.naturalWidth === 16")
        assert await page.text(".preview figcaption") == "Section 1 of 8"
        await page.until(
            "[...document.querySelectorAll('#volumes .thumbnail img')].every((one) => one.naturalWidth > 0)"
        )
        assert await page.value("document.querySelectorAll('#volumes .thumbnail img').length") == 2
        if AXE.exists():
            assert await page.value(SERIOUS) == []
        (session / "t10.mrc").rename(session / "gone.mrc")
        await enter(page, ".preview input", "7")
        await page.until("document.querySelector('.preview .problem')?.textContent.includes('There is no')")
        (session / "gone.mrc").rename(session / "t10.mrc")
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
