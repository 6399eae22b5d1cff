"""The programs of the guide to the HTTP API, run as they stand there against a real gateway."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cryomamba.testing import DEADLINE_S

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide" / "http-api.md"
PACKAGES = ROOT / "services" / "gateway" / "web" / "node_modules"
MASK = bytes(range(256)) * 100
TYPES = {
    "compilerOptions": {
        "strict": True,
        "noEmit": True,
        "module": "nodenext",
        "target": "es2022",
        "lib": ["es2022", "dom"],
        "types": ["node"],
        "typeRoots": [str(PACKAGES / "@types")],
    },
    "files": ["example.mts"],
}


def program(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def needed(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


async def run(services: Services, folder: Path, *command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, "CRYOMAMBA_URL": services.url, "NO_PROXY": "*"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(DEADLINE_S):
        printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


async def check(services: Services, worker: Worker, folder: Path, *command: str) -> None:
    """Run a program while a worker does its job; it prints each change of state and has the mask in a file."""

    async def work() -> None:
        await worker.finish(await worker.claim(), {"mask.mrc": MASK})

    printed, _ = await asyncio.gather(run(services, folder, *command), work())
    types = re.findall(r"\w+$", printed, re.MULTILINE)
    assert types[0] == "connected"
    assert types[-1] == "job_completed"
    assert (folder / "mask.mrc").read_bytes() == MASK


async def test_the_example_in_curl(services: Services, worker: Worker, tmp_path: Path) -> None:
    """It downloads the mask of its job."""
    needed("curl")
    await check(services, worker, tmp_path, needed("bash"), "-c", program("bash"))


async def test_the_example_in_python(services: Services, worker: Worker, tmp_path: Path) -> None:
    """It downloads the mask of its job."""
    await check(services, worker, tmp_path, sys.executable, "-c", program("python"))


async def test_the_example_in_typescript(services: Services, worker: Worker, tmp_path: Path) -> None:
    """It has no error of types, and downloads the mask of its job."""
    node = needed("node")
    if not PACKAGES.is_dir():
        pytest.skip("the page's packages are not installed ('make web' installs them)")
    (tmp_path / "example.mts").write_text(program("ts"))
    (tmp_path / "tsconfig.json").write_text(json.dumps(TYPES))
    await run(services, tmp_path, node, str(PACKAGES / "typescript" / "bin" / "tsc"), "-p", ".")
    esbuild = str(PACKAGES / "esbuild" / "bin" / "esbuild")
    await run(services, tmp_path, esbuild, "example.mts", "--outfile=example.mjs", "--format=esm", "--log-level=error")
    await check(services, worker, tmp_path, node, "example.mjs")
