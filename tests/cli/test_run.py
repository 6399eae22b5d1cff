"""``run``: the services in the foreground."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

import cryomamba
from cryomamba.errors import InvalidRequestError
from cryomamba.stack import SERVICES
from cryomamba.testing import DEADLINE_S, Stack, wait_until
from cryomamba_cli.run import procfile, require_server

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]


def ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/v1/readyz", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-m", "cryomamba_cli", "run"],
        [sys.executable, "-m", "honcho", "-f", str(ROOT / "Procfile"), "start"],
    ],
    ids=["run", "honcho"],
)
def test_all_services_start_and_end_together(command: list[str], tmp_path: Path) -> None:
    """``cryomamba run`` and ``honcho start`` make a stack that is ready, and SIGTERM ends all of it."""
    with Stack(tmp_path / "home") as stack:
        environment = {**stack.env, "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))}
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: ready(stack.http_url) or process.poll() is not None, what="the services")
            assert process.poll() is None, (tmp_path / "log").read_text()
            process.send_signal(signal.SIGTERM)
            process.wait(DEADLINE_S)
        finally:
            process.terminate()
            process.wait(DEADLINE_S)
    printed = (tmp_path / "log").read_text()
    assert all(f"{service}.1 stopped" in printed for service in SERVICES), printed
    assert not ready(stack.http_url)


def test_an_installed_package_writes_the_same_procfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no checkout, the file that is written equals the checkout's."""
    assert procfile(tmp_path) == ROOT / "Procfile"
    monkeypatch.setattr(cryomamba, "__file__", str(tmp_path / "a" / "b" / "cryomamba" / "__init__.py"))
    assert procfile(tmp_path).read_text() == (ROOT / "Procfile").read_text()


def test_without_the_server_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is named, with the command that installs it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "honcho" else find_spec(name))
    with pytest.raises(InvalidRequestError, match=r"missing: honcho.*cryomamba\[server\]"):
        require_server()
