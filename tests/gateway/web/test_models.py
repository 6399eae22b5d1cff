"""The trained models in a browser: the list, the licence before the first use, and the choice in the form."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.gateway.access.test_models import archive
from tests.gateway.chromium import tab
from tests.gateway.web.page_actions import AXE, SERIOUS, choose_file, click, enter, press, show, tab_to, tomogram
from tests.trained_models import write_model

from cryomamba.client.bus_requester import BusRequester
from cryomamba.engines.registry import describe
from cryomamba.testing import wait_until_async
from cryomamba.wire.requests import WorkerHello
from cryomamba_inference.engines.onnx import OnnxEngine
from cryomamba_inference.model_announcer import ModelAnnouncer
from cryomamba_server.model_store.store import ModelStore
from cryomamba_server.tokens import Scope, TokenStore

if TYPE_CHECKING:
    from tests.gateway.conftest import Services

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]

NET = describe(OnnxEngine, default=True)
LICENCE = "CC-BY-NC-4.0"
HOSTILE = "<img src=x onerror=alert(1)> non-commercial\u202e"


@asynccontextmanager
async def announcing(services: Services) -> AsyncIterator[Callable[[int], Awaitable[bool]]]:
    """A worker with an engine for models, which announces those of the data directory as an inference service does."""
    requester = BusRequester(services.broker.endpoints.jobs, src="net-worker")
    hello = WorkerHello(worker="net-worker", host="microscope", pid=1, version="0", engines=(NET,))
    await requester.request("worker.hello", hello)
    epoch = requester.broker_epoch
    task = asyncio.create_task(ModelAnnouncer("net-worker", services.settings, lambda: epoch).run(requester))
    try:

        async def has(models: int) -> bool:
            return len(services.broker.core.workers.models()) == models

        yield has
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await requester.close()


async def test_a_model_is_chosen_and_its_licence_accepted(idle_services: Services, tmp_path: Path) -> None:
    """The form offers the models that fit, and shows a licence that nobody has accepted; then the job is submitted."""
    services = idle_services
    await services.start_broker()
    url = await services.start_gateway()
    store = ModelStore.of(services.settings)
    async with announcing(services) as announced, tab(f"{url}/#/models", tmp_path / "profile") as page:
        await page.until("!!document.getElementById('no-models')")
        store.add(write_model(tmp_path / "a", title="Membranes", licence=LICENCE), "membranes")
        store.add(write_model(tmp_path / "b", licence=""), "free")
        store.add(write_model(tmp_path / "c", licence=HOSTILE), "hostile")
        await wait_until_async(lambda: announced(3), what="the models to be announced")
        await show(page, "#/new")
        await page.until("document.querySelectorAll('#param-model option').length === 4")
        assert await page.text("#param-model option") == "Choose one"
        await click(page, ".choices button")
        await enter(page, "#path", str(tomogram(tmp_path)))
        await click(page, "#add-path")
        await click(page, "#start")
        await page.until("document.getElementById('parameters-form').textContent.includes('Choose one.')")
        await enter(page, "#param-model", '"membranes"')
        await page.until("!!document.getElementById('licence')")
        assert LICENCE in await page.text("#licence")
        await click(page, "#start")
        await page.until("document.getElementById('parameters-form').textContent.includes('has not been accepted')")
        await click(page, "#licence button")
        await page.until("document.getElementById('licence') === null")
        await click(page, "#start")
        await page.until("!!document.getElementById('job-name')")
        (job,) = (await services.http.get("/v1/jobs")).json()["jobs"]
        assert job["params"] == {"model": "membranes"}

        await show(page, "#/models")
        await page.until("document.querySelectorAll('#models > li').length === 3")
        card = await page.text("[data-model=membranes]")
        assert all(text in card for text in ("Membranes", "onnx", "membrane", "10 Å", "1 worker: microscope", LICENCE))
        (model,) = [
            one for one in (await services.http.get("/v1/models")).json()["models"] if one["title"] == "Membranes"
        ]
        assert model["sha256"] in card
        assert "Not stated" in await page.text("[data-model=free]")
        assert r"non-commercial\u{202e}" in await page.text("[data-model=hostile]")
        assert await page.value("document.querySelectorAll('main img').length") == 0
        await tab_to(page, "[data-model=hostile] .licence button")
        await press(page, "Enter")
        await page.until("document.querySelector('[data-model=hostile] .licence button') === null")
        assert await page.value("document.title") == "Models · CryoMamba"


async def test_a_model_is_added_and_removed_in_the_page(idle_services: Services, tmp_path: Path) -> None:
    """What is wrong with a file or a name is said in words; a name that is taken is changed without sending again."""
    services = idle_services
    await services.start_broker()
    url = await services.start_gateway()
    packed, broken = tmp_path / "My net (v2).zip", tmp_path / "broken.zip"
    packed.write_bytes(archive(LICENCE, {"net/more.bin": bytes(3_000_000)}))
    broken.write_bytes(archive()[:-30])
    ModelStore.of(services.settings).add(write_model(tmp_path / "a"), "taken")
    async with announcing(services) as announced, tab(f"{url}/#/models", tmp_path / "profile") as page:
        await wait_until_async(lambda: announced(1), what="the model to be announced")
        await choose_file(page, "#model-file", broken)
        await click(page, "#start-model")
        await page.until("document.getElementById('model-progress').className === 'problem'")
        assert "archive" in await page.text("#model-progress")
        # Another file, with a name that there is.
        await choose_file(page, "#model-file", packed)
        await page.until("document.activeElement.id === 'model-name'")
        assert await page.value("document.activeElement.value") == "My-net-v2"
        await enter(page, "#model-name", "taken")
        await press(page, "Enter")
        await page.until("document.getElementById('model-progress').textContent.includes('taken')")
        if AXE.exists():
            await page.value(f"{AXE.read_text(encoding='utf-8')}; 0")
            assert await page.value(SERIOUS) == []
        sent = "performance.getEntriesByType('resource').filter(({name}) => name.includes('/part/')).length"
        before = await page.value(sent)
        await enter(page, "#model-name", "mine")
        await tab_to(page, "#start-model")
        await press(page, "Enter")
        await page.until("document.getElementById('model-added')?.textContent.includes('mine')")
        assert await page.value(sent) == before
        assert "Accept its licence" in await page.text("#model-added")
        await page.until("!!document.querySelector('[data-model=mine]')")
        assert await page.value("document.activeElement.id") == "model-file"
        listed = (await services.http.get("/v1/models/mine")).json()
        assert (listed["labels"], listed["licence_accepted"]) == ({"1": "membrane"}, False)
        # Its licence is there before anybody uses it.
        assert LICENCE in await page.text("[data-model=mine] .licence")
        assert list((services.settings.uploads / "incoming").iterdir()) == []

        await tab_to(page, "[data-model=mine] .remove-model button")
        await press(page, "Enter")
        await page.until("!!document.querySelector('dialog[open]')")
        if AXE.exists():
            assert await page.value(SERIOUS) == []
        await tab_to(page, "dialog[open] .confirm-remove")
        await press(page, "Enter")
        await page.until("document.querySelector('[data-model=mine]') === null")
        assert (await services.http.get("/v1/models/mine")).status_code == 404


async def test_who_may_not_add_models_is_offered_nothing(idle_services: Services, tmp_path: Path) -> None:
    """A token without the scope admin sees the models, and no form and no button to remove one."""
    services = idle_services
    token, _ = TokenStore(services.settings.keys).create("ada", [Scope.WRITE], days=1)
    await services.start_broker()
    url = await services.start_gateway()
    ModelStore.of(services.settings).add(write_model(tmp_path / "a"), "net")
    async with announcing(services), tab(f"{url}/#/models", tmp_path / "profile") as page:
        await page.until("!!document.getElementById('sign-in')")
        await enter(page, "#token", token)
        await click(page, "#sign-in button")
        await page.until("!!document.querySelector('[data-model=net]')")
        await page.until("performance.getEntriesByType('resource').some(({name}) => name.endsWith('/v1/session'))")
        assert await page.value("document.querySelectorAll('#add-model, .remove-model').length") == 0


async def test_the_pages_with_models_have_no_serious_accessibility_problem(
    idle_services: Services, tmp_path: Path
) -> None:
    """axe finds none on the list and on the form with a licence, narrow and wide, light and dark; nothing overflows."""
    if not AXE.exists():
        pytest.skip("The page's packages are not installed ('make web' installs them)")
    services = idle_services
    await services.start_broker()
    url = await services.start_gateway()
    store = ModelStore.of(services.settings)
    store.add(write_model(tmp_path / "a", title="Membranes " * 15, licence=LICENCE * 10), "m" * 64)
    store.add(write_model(tmp_path / "b"), "free")
    async with announcing(services) as announced, tab(f"{url}/#/models", tmp_path / "profile") as page:
        await wait_until_async(lambda: announced(2), what="the models to be announced")
        await page.until("!!document.getElementById('models')")
        await page.value(f"{AXE.read_text(encoding='utf-8')}; 0")
        for width, theme in ((360, "light"), (1280, "dark"), (2560, "light")):
            await page.resize(width, 900)
            await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            await show(page, "#/models")
            await page.until("document.querySelectorAll('#models > li').length === 2")
            assert await page.value(SERIOUS) == [], (width, theme, "models")
            assert await page.value("document.documentElement.scrollWidth <= innerWidth"), (width, "models")
            await show(page, "#/new")
            await page.until("document.querySelectorAll('#param-model option').length >= 2")
            await enter(page, "#param-model", json.dumps("m" * 64))
            await page.until("!!document.getElementById('licence')")
            assert await page.value(SERIOUS) == [], (width, theme, "form")
            assert await page.value("document.documentElement.scrollWidth <= innerWidth"), (width, "form")
