"""``workers`` with a running stack whose inference service has two slots, through the gateway and directly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from typer.testing import Result

import cryomamba
from cryomamba.models.jobs import JobState
from cryomamba.testing import Stack, wait_until

pytestmark = pytest.mark.system
Cli = Callable[..., Result]
SHAPE = (32, 32, 32)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack with two slots."""
    folder = tmp_path_factory.mktemp("stack")
    with Stack(folder / "home", roots=[folder], env={"CRYOMAMBA_SLOTS": "2", "CRYOMAMBA_LEASE_S": "5"}) as stack:
        yield stack.start().wait_ready()


def listed(cli: Cli) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(cli("workers", "list", "--json").stdout)
    return found


def test_an_administrator_decides_which_workers_take_jobs(url: str, server: Stack, cli: Cli) -> None:
    """Two slots run two jobs at once; a drained service ends them and takes no other; a removed slot takes none."""
    # Those of a service that has ended are listed for a while, and a new one has not reported yet.
    wait_until(lambda: all(one["memory_bytes"] for one in listed(cli)) and len(listed(cli)) == 2, what="both slots")
    names = [str(one["worker"]) for one in listed(cli)]
    service = names[0].rpartition(".")[0]
    assert names == [f"{service}.1", f"{service}.2"]
    with cryomamba.connect(url) as client:
        running = [client.submit(shape=SHAPE, engine="demo", params={"seconds": 30}) for _ in range(2)]
        wait_until(lambda: {job.refresh().state for job in running} == {JobState.RUNNING}, what="two jobs at once")
        drained = cli("workers", "drain", service)
        assert drained.exit_code == 0
        assert [f"Worker {name} takes no further jobs, and is free once job" in drained.stdout for name in names]
        assert cli("workers").stdout.count(" draining ") == 2
        waiting = client.submit(shape=SHAPE, engine="demo", params={"seconds": 0.2}, priority=1)
        for job in running:
            job.cancel()
        wait_until(lambda: {job.refresh().state for job in running} == {JobState.CANCELLED}, what="both to end")
        assert waiting.refresh().state is JobState.PENDING
        assert "All workers that could run it are drained" in cli("show", waiting.job_id).stdout
        assert "high" in cli("show", waiting.job_id).stdout
        assert cli("workers", "resume", names[0]).exit_code == 0
        assert waiting.wait().state is JobState.COMPLETED
        assert [one["drained"] for one in listed(cli)] == [False, True]
    assert "is removed" in cli("workers", "remove", names[1]).stdout
    assert [one["worker"] for one in listed(cli)] == [names[0]]
    assert cli("workers", "drain", "nobody").exit_code != 0
    assert cli("workers", "remove", "").exit_code != 0
    # The other address finds both again.
    server.stop("inference")
    server.start("inference")
    server.wait_ready()
