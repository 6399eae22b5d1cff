"""The configuration of Prometheus: its programs accept it, and alerts fire when they should."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cryomamba.testing import DEADLINE_S

Program = Callable[[str], str]


@pytest.fixture
def promtool(program: Program) -> str:
    """The checker of Prometheus."""
    return program("promtool")


def test_each_alert_fires_when_it_should(deploy: Path, promtool: str) -> None:
    """``promtool test rules``: a healthy server raises no alert, and each fault raises its own."""
    command = [promtool, "test", "rules", "cryomamba.test.yml"]
    done = subprocess.run(command, cwd=deploy / "prometheus", capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested(deploy: Path) -> None:
    """Every alert has a case in which it fires, and is in the guide."""
    rules = yaml.safe_load((deploy / "prometheus" / "cryomamba.rules.yml").read_text())
    named = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    cases = yaml.safe_load((deploy / "prometheus" / "cryomamba.test.yml").read_text())["tests"]
    fired = {one["alertname"] for case in cases for one in case["alert_rule_test"] if one.get("exp_alerts")}
    assert fired == named
    guide = (deploy.parent / "docs" / "operations" / "monitoring.md").read_text()
    assert {name for name in named if f"`{name}`" not in guide} == set()


def test_prometheus_accepts_the_configuration(deploy: Path, promtool: str, tmp_path: Path) -> None:
    """With the token file in place, ``promtool check config`` finds no error."""
    for path in (deploy / "prometheus").iterdir():
        shutil.copy(path, tmp_path)
    token = tmp_path / "token"
    token.write_text("x")
    text = (tmp_path / "prometheus.yml").read_text()
    assert "/etc/prometheus/cryomamba.token" in text
    (tmp_path / "prometheus.yml").write_text(text.replace("/etc/prometheus/cryomamba.token", str(token)))
    command = [promtool, "check", "config", "prometheus.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout + done.stderr
