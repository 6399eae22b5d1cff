"""The programs of the guides to the HTTP API and to webhooks, run as they stand there with a real gateway."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
import time
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio

from cryomamba.testing import DEADLINE_S, free_ports, wait_until_async

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide" / "http-api.md"
WEBHOOKS = ROOT / "docs" / "guide" / "webhooks.md"
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


def program(language: str, guide: Path = GUIDE) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
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
        env={**os.environ, "CRYOMAMBA_SERVER": services.url, "NO_PROXY": "*"},
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
    await check(services, worker, tmp_path, *await built(services, tmp_path, GUIDE))


async def built(services: Services, folder: Path, guide: Path) -> tuple[str, str]:
    """Check the types of a guide's program in TypeScript, and return the command that runs it."""
    node = needed("node")
    if not PACKAGES.is_dir():
        pytest.skip("the page's packages are not installed ('make web' installs them)")
    (folder / "example.mts").write_text(program("ts", guide))
    (folder / "tsconfig.json").write_text(json.dumps(TYPES))
    await run(services, folder, node, str(PACKAGES / "typescript" / "bin" / "tsc"), "-p", ".")
    esbuild = str(PACKAGES / "esbuild" / "bin" / "esbuild")
    await run(services, folder, esbuild, "example.mts", "--outfile=example.mjs", "--format=esm", "--log-level=error")
    return node, "example.mjs"


@pytest_asyncio.fixture(loop_scope="session")
async def sending(idle_services: Services) -> Services:
    """Services that may send messages to this machine."""
    networks = {"webhook_networks": (ip_network("127.0.0.0/8"),)}
    idle_services.settings = idle_services.settings.model_copy(update=networks)
    await idle_services.start_broker()
    await idle_services.start_gateway()
    await idle_services.start_worker()
    return idle_services


async def check_receiver(services: Services, folder: Path, *command: str) -> None:
    """Run a receiver of webhooks: it takes what is signed, prints it, and refuses everything else."""
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}/"
    webhook = (await services.http.post("/v1/webhooks", json={"url": url})).json()
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, "PORT": str(port), "WEBHOOK_SECRET": webhook["secret"]},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_S) as stranger:

            async def refused() -> bool:
                headers = {
                    "webhook-id": "1",
                    "webhook-timestamp": str(int(time.time())),
                    "webhook-signature": "v1,AAAA",
                }
                try:
                    return (await stranger.post(url, content=b'{"type": "forged"}', headers=headers)).status_code == 400
                except httpx.TransportError:
                    return False

            await wait_until_async(refused, what="the receiver")
            job = await services.submit()
            await services.http.delete(f"/v1/jobs/{job.job_id}")
            async with asyncio.timeout(DEADLINE_S):
                assert (await process.stdout.readline()).decode() == f"job.cancelled {job.job_id}\n"
    finally:
        process.kill()
        await process.communicate()


async def test_the_receiver_in_python(sending: Services, tmp_path: Path) -> None:
    """It verifies with the library of others."""
    await check_receiver(sending, tmp_path, sys.executable, "-c", program("python", WEBHOOKS))


async def test_the_receiver_in_typescript(sending: Services, tmp_path: Path) -> None:
    """It has no error of types, and verifies with Node alone."""
    await check_receiver(sending, tmp_path, *await built(sending, tmp_path, WEBHOOKS))
