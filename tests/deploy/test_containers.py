"""The container files name what there is, and the health check tells a healthy service from a dead one."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cryomamba.settings import Settings
from cryomamba.testing import Stack, wait_until

OURS = ("broker", "inference", "gateway")


@pytest.fixture
def compose(deploy: Path) -> dict[str, Any]:
    """The compose file, with what its services share put in."""
    loaded: dict[str, Any] = yaml.safe_load((deploy / "container" / "compose.yml").read_text())
    return loaded


def test_services_start_what_there_is(compose: dict[str, Any]) -> None:
    """Every module that is started exists, and every variable is a setting."""
    for name in OURS:
        service = compose["services"][name]
        assert service["command"] == ["python", "-m", f"cryomamba_{name}"]
        assert importlib.util.find_spec(f"cryomamba_{name}")
        fields = {variable.removeprefix("CRYOMAMBA_").lower() for variable in service["environment"]}
        assert fields <= set(Settings.model_fields)


def test_services_come_back_and_are_looked_at(compose: dict[str, Any]) -> None:
    """Each has a restart policy and a check of its own, and none more rights than it needs."""
    for name in OURS:
        service = compose["services"][name]
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][-1] == name
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
    assert [name for name, service in compose["services"].items() if "ports" in service] == ["proxy"]


def test_what_is_referred_to_is_there(compose: dict[str, Any], deploy: Path) -> None:
    """Volumes and networks are declared, and files that are mounted or built from exist."""
    folder = deploy / "container"
    for service in compose["services"].values():
        for source in (volume.split(":")[0] for volume in service["volumes"]):
            if source.startswith("."):
                assert (folder / source).is_file(), source
            elif not source.startswith("$"):
                assert source in compose["volumes"], source
        assert set(service.get("networks", ())) <= set(compose["networks"])
    build = compose["x-service"]["build"]
    assert (folder / build["context"] / build["dockerfile"]).is_file()


def test_the_image_is_made_of_what_there_is(deploy: Path) -> None:
    """Every file that is copied exists and is let through to the build."""
    text = (deploy / "container" / "Containerfile").read_text()
    let_through = (deploy / "container" / "Containerfile.dockerignore").read_text().split()
    copied = [line.split()[1:-1] for line in re.findall(r"^COPY (?!--from).*$", text, re.MULTILINE)]
    for source in (one for sources in copied for one in sources):
        assert (deploy.parent / source).exists(), source
        assert f"!{source}" in let_through, source


@pytest.mark.system
def test_health_is_told_from_its_absence(deploy: Path, tmp_path: Path) -> None:
    """Each check passes while its service is there, and fails when it is not."""
    check = [sys.executable, str(deploy / "container" / "healthy.py")]
    with Stack(tmp_path / "home", env={"CRYOMAMBA_LEASE_S": "2"}) as stack:

        def healthy(service: str) -> bool:
            return subprocess.run([*check, service], env=stack.env, capture_output=True, timeout=60).returncode == 0

        stack.start().wait_ready()
        assert all(healthy(service) for service in OURS)
        for service in ("inference", "gateway", "broker"):
            stack.kill(service)
            wait_until(lambda gone=service: not healthy(gone), what=f"{service} to be missed")  # type: ignore[misc]
