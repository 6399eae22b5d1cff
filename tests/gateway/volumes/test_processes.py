"""Helper processes of the gateway: what they run, what they raise, and how they end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from functools import partial
from pathlib import Path

import psutil
import pytest

from cryomamba.atomic import write_atomically
from cryomamba.errors import ErrorCode, UnavailableError, VolumeError
from cryomamba.testing import wait_until
from cryomamba_gateway.volumes.processes import Processes

pytestmark = pytest.mark.asyncio(loop_scope="session")


def nothing() -> None:
    """Prepare nothing."""


def refuse() -> None:
    """Raise an error with all that belongs to one."""
    raise VolumeError("No.", code=ErrorCode.VOLUME_CHANGED, hint="Try.")


def leave(path: Path, name: str = "x") -> None:
    """Write down the process id, and wait for a signal."""
    write_atomically(path / name, str(os.getpid()))
    if sys.platform != "win32":
        signal.pause()


async def test_functions_run_in_another_process(tmp_path: Path) -> None:
    """Results and errors come back whole; after the death of a process, the next call has a new one."""
    processes = Processes(1, "test", nothing)
    try:
        pid = await processes.run(os.getpid)
        assert pid != os.getpid()
        assert await processes.run(os.getpid) == pid
        with pytest.raises(VolumeError) as raised:
            await processes.run(refuse)
        assert (raised.value.code, raised.value.hint) == (ErrorCode.VOLUME_CHANGED, "Try.")
        os.kill(pid, signal.SIGTERM)
        assert await processes.run(os.getpid) == pid, "signals are for the gateway"
        waiting = asyncio.create_task(processes.run(leave, tmp_path))
        await asyncio.to_thread(wait_until, (tmp_path / "x").is_file, what="the call")
        psutil.Process(pid).kill()
        with pytest.raises(UnavailableError, match="ended unexpectedly"):
            await waiting
        assert await processes.run(os.getpid) != pid
    finally:
        await asyncio.to_thread(processes.close)


async def test_closing_does_not_wait_for_a_call(tmp_path: Path) -> None:
    """A long call ends with an error, and no process is left; priority is that of the pool."""
    processes = Processes(2, "test", partial(os.chdir, tmp_path), nice=7)
    calls = [asyncio.create_task(processes.run(leave, Path(), name)) for name in "ab"]
    for name in "ab":
        await asyncio.to_thread(wait_until, (tmp_path / name).is_file, what="the call")
    pids = [int((tmp_path / name).read_text(encoding="ascii")) for name in "ab"]
    assert [psutil.Process(pid).nice() for pid in pids] == [7, 7]
    await asyncio.to_thread(processes.close)
    for call in calls:
        with pytest.raises(UnavailableError):
            await call
    assert not any(psutil.pid_exists(pid) for pid in pids)
    with pytest.raises((UnavailableError, RuntimeError)):
        await processes.run(os.getpid)
