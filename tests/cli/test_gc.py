"""``gc`` with a running stack: a dry run first, and only expired files are deleted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

import cryomamba
from cryomamba.errors import NotFoundError
from cryomamba.testing import Stack, wait_until
from cryomamba.volumes import write_volume

pytestmark = pytest.mark.system
Cli = Callable[..., Result]


def done_job(client: cryomamba.Client) -> str:
    job = client.submit(shape=(16, 16, 16), engine="demo", params={"seconds": 0})
    job.wait()
    return job.job_id


def test_expired_items_are_deleted_with_yes(server: Stack, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended jobs, files without a job and unfinished files are listed; --yes deletes them and nothing else."""
    monkeypatch.setenv("CRYOMAMBA_HOME", str(server.home))
    with cryomamba.connect(server.bus_url) as client:
        ended = done_job(client)
        running = client.submit(shape=(16, 16, 16), engine="demo", params={"seconds": 600}).job_id
        wait_until(lambda: list((server.home / "work").glob(f"{running}/*")), what="its working folder")
        for path in (server.home / "artifacts" / "gone" / "mask.mrc", server.home / "work" / "dead" / "1" / ".lock"):
            path.parent.mkdir(parents=True)
            path.write_bytes(b"left behind")
        recent = cli("gc")
        assert recent.exit_code == 0, recent.output
        assert ended not in recent.stdout
        shown = cli("gc", "--days", "0")
        assert {line.split()[1] for line in shown.stdout.splitlines()[1:]} == {ended, "gone", "dead/1"}
        assert "--yes" in shown.stderr
        assert client.record(ended).artifacts
        removed = cli("gc", "--days", "0", "--yes")
        assert removed.exit_code == 0, removed.output
        with pytest.raises(NotFoundError):
            client.record(ended)
        assert sorted(path.name for path in (server.home / "artifacts").iterdir()) == []
        assert [path.name for path in (server.home / "work").iterdir()] == [running]
        client.cancel(running)
        wait_until(lambda: client.record(running).state.final, what="the job to end")
        assert [record.job_id for record in client.jobs()] == [running]


def test_unused_uploads_are_deleted(server: Stack, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An expired upload is deleted unless a remaining job uses it; CRYOMAMBA_KEEP_DAYS sets when it expires."""
    monkeypatch.setenv("CRYOMAMBA_HOME", str(server.home))
    path = tmp_path / "noise.mrc"
    with cryomamba.connect(server.http_url) as client:
        used, unused = (client.upload(made_volume(path, seed)).file_id for seed in (1, 2))
        job = client.submit(file_id=used, engine="threshold")
        job.wait()
        assert used not in cli("gc").stdout
        # As if both had been sent years ago.
        for file_id in (used, unused):
            record = server.home / "uploads" / "files" / file_id / "file.json"
            content = json.loads(record.read_text())
            record.write_text(json.dumps(content | {"created_at": "2020-01-01T00:00:00Z"}))
        shown = cli("gc")
        assert [line.split()[:2] for line in shown.stdout.splitlines()[1:]] == [["upload", unused]]
        assert "noise.mrc" in shown.stdout
        monkeypatch.setenv("CRYOMAMBA_KEEP_DAYS", "1000000")
        assert cli("gc").stdout == ""
        monkeypatch.delenv("CRYOMAMBA_KEEP_DAYS")
        assert cli("gc", "--yes").exit_code == 0
    assert [path.name for path in (server.home / "uploads" / "files").iterdir()] == [used]


def made_volume(path: Path, seed: int) -> Path:
    write_volume(path, np.random.default_rng(seed).normal(size=(8, 16, 16)).astype(np.float32), 10.0)
    return path


def test_without_a_broker_nothing_is_deleted(cli: Cli, tmp_path: Path) -> None:
    """Only the broker knows the jobs, so it must be running."""
    (tmp_path / "home" / "artifacts" / "job").mkdir(parents=True)
    result = cli("gc", "--yes")
    assert result.exit_code == 4
    assert (tmp_path / "home" / "artifacts" / "job").is_dir()
