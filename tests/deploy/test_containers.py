"""The container files name what exists, and the health checks detect a service that is down."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from cryomamba.settings import Settings
from cryomamba.testing import DEADLINE_S, Stack, wait_until

SERVICES = ("broker", "inference", "gateway")


@pytest.fixture
def compose(deploy: Path) -> dict[str, Any]:
    """The compose file, with its anchors resolved."""
    loaded: dict[str, Any] = yaml.safe_load((deploy / "container" / "compose.yml").read_text())
    return loaded


def test_services_start_existing_modules(compose: dict[str, Any]) -> None:
    """Every module that a service starts exists, and every variable is a setting."""
    for name in SERVICES:
        service = compose["services"][name]
        assert service["command"] == ["python", "-m", f"cryomamba_{name}"]
        assert importlib.util.find_spec(f"cryomamba_{name}")
        fields = {variable.removeprefix("CRYOMAMBA_").lower() for variable in service["environment"]}
        assert fields <= set(Settings.model_fields)


def test_services_are_restarted_and_checked(compose: dict[str, Any]) -> None:
    """Each has a restart policy and a health check, and no more rights than it needs."""
    for name in SERVICES:
        service = compose["services"][name]
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][-1] == name
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
    assert [name for name, service in compose["services"].items() if "ports" in service] == ["proxy"]


def test_referenced_files_and_volumes_exist(compose: dict[str, Any], deploy: Path) -> None:
    """Volumes and networks are declared, and files that are mounted or used for the build exist."""
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


def test_files_of_the_image_exist(deploy: Path) -> None:
    """Every file that is copied exists and is in the build context."""
    text = (deploy / "container" / "Containerfile").read_text()
    included = (deploy / "container" / "Containerfile.dockerignore").read_text().split()
    copied = [line.split()[1:-1] for line in re.findall(r"^COPY (?!--from).*$", text, re.MULTILINE)]
    for source in (source for sources in copied for source in sources):
        assert (deploy.parent / source).exists(), source
        assert f"!{source}" in included, source


@pytest.mark.system
@pytest.mark.slow
def test_health_checks_detect_a_service_that_is_down(deploy: Path, tmp_path: Path) -> None:
    """Each check passes while its service runs, and fails after it was killed."""
    check = [sys.executable, str(deploy / "container" / "healthy.py")]
    with Stack(tmp_path / "home", env={"CRYOMAMBA_LEASE_S": "2"}) as stack:

        def healthy(service: str) -> bool:
            command = [*check, service]
            return subprocess.run(command, env=stack.env, capture_output=True, timeout=DEADLINE_S).returncode == 0

        stack.start().wait_ready()
        assert all(healthy(service) for service in SERVICES)
        ready = f"{stack.http_url}/v1/readyz"
        for service in ("inference", "gateway", "broker"):
            stack.kill(service)
            if service == "inference":
                # Cheaper to ask than a new process, until the worker's lease has ended.
                wait_until(lambda: httpx.get(ready, timeout=DEADLINE_S).status_code == 503, what="no worker")
            wait_until(lambda gone=service: not healthy(gone), what=f"the check to miss {service}")  # type: ignore[misc]
