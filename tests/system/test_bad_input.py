"""Invalid input is refused with a message and a hint before a job is made: over the bus, HTTP and the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cryomamba
from cryomamba.client import Client
from cryomamba.errors import CryoMambaError, ErrorCode
from cryomamba.testing import DEADLINE_S, Stack
from cryomamba.volumes import write_volume

pytestmark = pytest.mark.system
Submit = Callable[[Path, Path], dict[str, Any]]


def inside(make: Callable[[Path], Path]) -> Submit:
    return lambda folder, _: {"volume": make(folder)}


def set_header(path: Path, *, word: int, value: int) -> Path:
    raw = bytearray(path.read_bytes())
    raw[word * 4 : word * 4 + 4] = value.to_bytes(4, "little", signed=True)
    path.write_bytes(raw)
    return path


def good(folder: Path, name: str = "good.mrc") -> Path:
    write_volume(folder / name, np.zeros((8, 8, 8), np.float32), 10.0)
    return folder / name


def truncated(folder: Path) -> Path:
    path = good(folder)
    path.write_bytes(path.read_bytes()[:-100])
    return path


def wrong_shape(folder: Path) -> Path:
    path = good(folder)
    for axis in range(3):
        set_header(path, word=axis, value=4096)
    return path


def negative(folder: Path) -> Path:
    return set_header(good(folder), word=2, value=-8)


def huge(folder: Path) -> Path:
    return set_header(good(folder), word=0, value=2**31 - 1)


def complex_mode(folder: Path) -> Path:
    return set_header(good(folder), word=3, value=4)


def not_mrc(folder: Path) -> Path:
    path = folder / "letter.mrc"
    path.write_text("Dear colleague, " * 200)
    return path


def empty(folder: Path) -> Path:
    path = folder / "empty.mrc"
    path.touch()
    return path


def nan_voxels(folder: Path) -> Path:
    voxels = np.zeros((8, 8, 8), np.float32)
    voxels[3, 4, 5] = np.nan
    write_volume(folder / "nan.mrc", voxels, 10.0)
    return folder / "nan.mrc"


def outside(folder: Path, elsewhere: Path) -> dict[str, Any]:
    return {"volume": good(elsewhere, f"{folder.name}.mrc")}


def through_a_link(folder: Path, elsewhere: Path) -> dict[str, Any]:
    (folder / "link.mrc").symlink_to(good(elsewhere, f"{folder.name}.mrc"))
    return {"volume": folder / "link.mrc"}


def traversal(folder: Path, elsewhere: Path) -> dict[str, Any]:
    path = good(elsewhere, f"{folder.name}.mrc")
    return {"volume": folder / os.path.relpath(path, folder)}


def with_engine(**fields: Any) -> Submit:
    return lambda folder, _: {"volume": good(folder), **fields}


def without_volume(**fields: Any) -> Submit:
    return lambda *_: dict(fields)


CASES: dict[str, tuple[Submit, ErrorCode]] = {
    "missing": (inside(lambda folder: folder / "missing.mrc"), ErrorCode.VOLUME_NOT_FOUND),
    "a folder": (inside(lambda folder: folder), ErrorCode.VOLUME_UNREADABLE),
    "empty": (inside(empty), ErrorCode.VOLUME_UNREADABLE),
    "truncated": (inside(truncated), ErrorCode.VOLUME_UNREADABLE),
    "not MRC": (inside(not_mrc), ErrorCode.VOLUME_UNREADABLE),
    "shape larger than the file": (inside(wrong_shape), ErrorCode.VOLUME_UNREADABLE),
    "negative shape": (inside(negative), ErrorCode.VOLUME_UNREADABLE),
    "huge shape": (inside(huge), ErrorCode.VOLUME_UNREADABLE),
    "complex": (inside(complex_mode), ErrorCode.VOLUME_UNSUPPORTED),
    "NaN": (inside(nan_voxels), ErrorCode.VOLUME_NOT_FINITE),
    "outside the input directories": (outside, ErrorCode.PATH_FORBIDDEN),
    "a link to a file outside": (through_a_link, ErrorCode.PATH_FORBIDDEN),
    "dots to a file outside": (traversal, ErrorCode.PATH_FORBIDDEN),
    "unknown engine": (with_engine(engine="no-such-engine"), ErrorCode.UNKNOWN_ENGINE),
    "unknown parameter": (with_engine(engine="threshold", params={"sigmma": 1}), ErrorCode.INVALID_PARAMETERS),
    "parameter out of range": (with_engine(engine="demo", params={"seconds": -1}), ErrorCode.INVALID_PARAMETERS),
    "parameter of another type": (with_engine(engine="demo", params={"seconds": "long"}), ErrorCode.INVALID_PARAMETERS),
    "negative demo shape": (without_volume(shape=(8, -8, 8), engine="demo"), ErrorCode.BAD_REQUEST),
    "huge demo shape": (without_volume(shape=(8, 10**9, 8), engine="demo"), ErrorCode.BAD_REQUEST),
    "a shape for an engine that reads a file": (
        without_volume(shape=(8, 8, 8), engine="threshold"),
        ErrorCode.BAD_REQUEST,
    ),
    "nothing at all": (without_volume(engine="threshold"), ErrorCode.BAD_REQUEST),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bad-input")


@pytest.fixture(scope="module")
def running(home: Path) -> Iterator[Stack]:
    for folder in ("volumes", "elsewhere"):
        (home / folder).mkdir()
    with Stack(home / "state", roots=[home / "volumes"]) as stack:
        yield stack.start().wait_ready()


@pytest.fixture(scope="module")
def clients(running: Stack) -> Iterator[dict[str, Client]]:
    with cryomamba.connect(running.bus_url) as bus, cryomamba.connect(running.http_url) as http:
        yield {"bus": bus, "http": http}


@pytest.mark.parametrize("transport", ["bus", "http"])
@pytest.mark.parametrize("case", list(CASES))
def test_refused_with_a_hint_and_not_queued(case: str, transport: str, home: Path, clients: dict[str, Client]) -> None:
    """The same code over both transports, a message and a hint, and no job."""
    submit, code = CASES[case]
    folder = home / "volumes" / f"{transport}-{list(CASES).index(case)}"
    folder.mkdir()
    fields = submit(folder, home / "elsewhere")
    before = len(clients["bus"].jobs(limit=500))
    with pytest.raises(CryoMambaError) as caught:
        clients[transport].submit(upload="never", **fields)
    error = caught.value
    assert error.code is code
    assert error.message.endswith(".")
    assert error.hint
    assert not error.retryable
    assert "Traceback" not in error.message
    assert len(clients["bus"].jobs(limit=500)) == before


@pytest.mark.parametrize("transport", ["bus", "http"])
@pytest.mark.parametrize("job_id", ["00000000-0000-0000-0000-000000000000", "x", "../../etc/passwd", "a b", "%00", "ü"])
def test_an_unknown_job_is_not_found(transport: str, job_id: str, clients: dict[str, Client]) -> None:
    """Whatever the id looks like: not found, with a hint, for every request."""
    client = clients[transport]
    for request in (client.record, client.cancel, client.retry, client.preview, lambda job: list(client.watch(job))):
        with pytest.raises(CryoMambaError) as caught:
            request(job_id)
        assert caught.value.code is ErrorCode.NOT_FOUND
        assert caught.value.hint


@pytest.mark.parametrize(("case", "status"), [("missing", 5), ("NaN", 5), ("unknown engine", 2)])
@pytest.mark.parametrize("where", ["here", "gateway"])
def test_the_command_line_refuses_it_too(case: str, status: int, where: str, home: Path, running: Stack) -> None:
    """``cryomamba segment`` ends with the documented exit code and a message, locally and through the gateway."""
    folder = home / "volumes" / f"cli-{where}-{list(CASES).index(case)}"
    folder.mkdir()
    fields = CASES[case][0](folder, home / "elsewhere")
    command = [sys.executable, "-m", "cryomamba_cli", "segment", str(fields["volume"]), "-o", str(folder / "out.mrc")]
    command += ["--engine", fields.get("engine", "threshold")]
    command += ["--server", running.http_url] * (where == "gateway")
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **running.env}, timeout=DEADLINE_S
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stdout == ""
    assert not (folder / "out.mrc").exists()
