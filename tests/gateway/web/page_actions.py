"""What a visitor of the page does: keys, clicks, entries and files."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tests.gateway.chromium import Tab

from cryomamba.volumes import write_volume

if TYPE_CHECKING:
    from collections.abc import Sequence

AXE = Path(__file__).parents[3] / "services" / "gateway" / "web" / "node_modules" / "axe-core" / "axe.min.js"
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowDown": 40}
SERIOUS = """axe.run().then(({violations}) => violations.filter(({impact}) => ["serious", "critical"].includes(impact))
    .map(({id, nodes}) => `${id}: ${nodes.map(({html}) => html).join(" ")}`))"""
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


async def choose_file(page: Tab, selector: str, path: Path) -> None:
    """Choose a file in the browser's dialog."""
    await page.until(f"document.querySelector({json.dumps(selector)}) !== null")
    found = await page.call("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")
    await page.call("DOM.setFileInputFiles", files=[str(path)], objectId=found["result"]["objectId"])


async def drop_at(page: Tab, path: Path, x: int, y: int) -> None:
    """Drag a file from another window and drop it."""
    dragged = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        await page.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=dragged)


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


async def connected(page: Tab, *, online: bool) -> None:
    """Cut or restore the browser's connection."""
    await page.call(
        "Network.emulateNetworkConditions", offline=not online, latency=0, downloadThroughput=-1, uploadThroughput=-1
    )
