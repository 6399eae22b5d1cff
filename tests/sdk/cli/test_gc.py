"""``cryomamba gc`` on a running stack: it shows before it removes, and removes only what may go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

import cryomamba
from cryomamba.errors import NotFoundError
from cryomamba.testing import Stack, wait_until

pytestmark = pytest.mark.system
Cli = Callable[..., Result]


def done_job(client: cryomamba.Client) -> str:
    job = client.submit(shape=(16, 16, 16), engine="demo", params={"seconds": 0})
    client.wait(job.job_id)
    return job.job_id


def test_what_is_old_goes_when_asked(server: Stack, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended jobs, files of jobs that are gone and unfinished work are shown; --yes removes them and nothing else."""
    monkeypatch.setenv("CRYOMAMBA_HOME", str(server.home))
    with cryomamba.connect(server.bus_url) as client:
        ended = done_job(client)
        running = client.submit(shape=(16, 16, 16), engine="demo", params={"seconds": 60}).job_id
        wait_until(lambda: list((server.home / "work").glob(f"{running}/*")), what="its work folder")
        for path in (server.home / "artifacts" / "gone" / "mask.mrc", server.home / "work" / "dead" / "1" / ".lock"):
            path.parent.mkdir(parents=True)
            path.write_bytes(b"left behind")
        recent = cli("gc")
        assert recent.exit_code == 0, recent.output
        assert ended not in recent.stdout
        shown = cli("gc", "--days", "0")
        assert {line.split()[1] for line in shown.stdout.splitlines()[1:]} == {ended, "gone", "dead/1"}
        assert "--yes" in shown.stderr
        assert client.get(ended).artifacts
        removed = cli("gc", "--days", "0", "--yes")
        assert removed.exit_code == 0, removed.output
        with pytest.raises(NotFoundError):
            client.get(ended)
        assert sorted(path.name for path in (server.home / "artifacts").iterdir()) == []
        assert [path.name for path in (server.home / "work").iterdir()] == [running]
        client.cancel(running)
        wait_until(lambda: client.get(running).state.final, what="the end")
        assert [record.job_id for record in client.list()] == [running]


def test_without_a_broker_gc_says_so(cli: Cli, tmp_path: Path) -> None:
    """Only the broker knows which jobs there are, so nothing is taken for a leftover without it."""
    (tmp_path / "home" / "artifacts" / "job").mkdir(parents=True)
    result = cli("gc", "--yes")
    assert result.exit_code == 4
    assert (tmp_path / "home" / "artifacts" / "job").is_dir()
