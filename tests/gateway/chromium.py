"""A headless browser and one of its tabs, controlled with the Chrome DevTools Protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from cryomamba.testing import DEADLINE_S, wait_until_async

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")


@contextmanager
def browser(url: str, profile: Path, *options: str) -> Iterator[None]:
    """Run a browser that shows a page."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("chromium is not installed")
    command = [found, *OPTIONS, "--disable-background-networking", f"--user-data-dir={profile}", *options, url]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


class Tab:
    """A tab of the browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the browser; a ValueError says what it could not do."""
        number = next(self._numbers)
        await self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        async with asyncio.timeout(DEADLINE_S):
            while (reply := json.loads(await self._connection.recv())).get("id") != number:
                pass
        if "error" in reply:
            raise ValueError(reply["error"]["message"])
        found: dict[str, Any] = reply["result"]
        return found

    async def value(self, script: str) -> Any:
        """Evaluate an expression in the page."""
        reply = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in reply:
            raise ValueError(reply["exceptionDetails"]["exception"]["description"])
        return reply["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait until an expression is true; one that fails while the page loads counts as false."""

        async def so() -> bool:
            try:
                return bool(await self.value(condition))
            except ValueError:
                return False

        await wait_until_async(so, what=condition)

    async def text(self, selector: str) -> str:
        """Return the text of an element."""
        return str(await self.value(f"document.querySelector({json.dumps(selector)}).textContent"))

    async def press(self, key: str) -> None:
        """Press a key and let it go."""
        text = key if len(key) == 1 else ""
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, text=text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    async def resize(self, width: int, height: int) -> None:
        """Give the page another size."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    async def picture(self) -> bytes:
        """Return the window as PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])


@asynccontextmanager
async def tab(url: str, profile: Path, *options: str) -> AsyncIterator[Tab]:
    """Open a page in its own browser."""
    with browser(url, profile, "--remote-debugging-port=0", "--window-size=1000,1350", *options):
        port_file = profile / "DevToolsActivePort"

        async def port_of_it() -> str:
            return port_file.read_text(encoding="ascii").partition("\n")[0] if port_file.exists() else ""

        port = await wait_until_async(port_of_it, what="the browser")
        async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_S) as http:
            tabs = (await http.get(f"http://127.0.0.1:{port}/json/list")).json()
        address = next(one["webSocketDebuggerUrl"] for one in tabs if one["type"] == "page")
        async with connect(address, max_size=2**26, proxy=None) as connection:
            yield Tab(connection)
