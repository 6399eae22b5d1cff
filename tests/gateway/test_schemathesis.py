"""Schemathesis sends a running gateway with tokens whatever its OpenAPI document allows and forbids.

All of its checks are on. ``make fuzz`` runs longer, with another seed each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cryomamba.errors import CryoMambaError
from cryomamba_server.tokens import Scope, TokenStore

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEED = os.environ.get("FUZZ_SEED", "20261126")
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "6")
CONFIG = Path(__file__).with_name("schemathesis.toml")


async def finish_all_jobs(worker: Worker) -> None:
    """Finish every job with a mask and a preview, so that there is something to download."""
    mask = np.ones((4, 4, 4), np.uint8)
    while True:
        with contextlib.suppress(CryoMambaError, AssertionError):
            job = await worker.claim()
            await worker.publish(job, mask, final=True)
            await worker.finish(job, {"mask.mrc": b"0123456789", "scores.mrc": b"0123456789"})


async def test_the_gateway_conforms_to_its_openapi_document(idle_services: Services) -> None:
    """No status of 500 or above, no undocumented response, and nothing without a token."""
    services = idle_services
    token, _ = TokenStore(services.settings.keys).create("ada", [Scope.WRITE], days=1)
    await services.start_broker()
    working = asyncio.create_task(finish_all_jobs(await services.start_worker()))
    url = await services.start_gateway(requests_per_minute=10_000_000, uploads_per_token=10_000, upload_max_gb=0.01)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", f"{url}/openapi.json"]
    command += ["--seed", SEED, "--max-examples", EXAMPLES, "--header", f"Authorization: Bearer {token}"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=services.settings.home
    )
    reported, _ = await process.communicate()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    report = reported.decode(errors="replace")
    sys.stdout.write(report)
    assert process.returncode == 0, f"seed {SEED}"
    generated = re.search(r"(\d+) generated", report)
    assert generated is not None
    assert int(generated[1]) > 500
