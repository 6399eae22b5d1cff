"""What Prometheus is told: rules that fire for what they are meant for, on numbers that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cryomamba.models.server import Activity
from cryomamba_gateway.metrics import Metrics

Program = Callable[[str], str]


@pytest.fixture
def promtool(program: Program) -> str:
    """Prometheus' own checker."""
    return program("promtool")


def test_each_alert_fires_for_what_it_is_meant_for(deploy: Path, promtool: str) -> None:
    """``promtool test rules``: a server at work is quiet, and a broken one rings every bell."""
    command = [promtool, "test", "rules", "cryomamba.test.yml"]
    said = subprocess.run(command, cwd=deploy / "prometheus", capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stdout + said.stderr


def test_every_alert_is_tested(deploy: Path) -> None:
    """No rule without a case in which it fires, and none without a line in the guide."""
    rules = yaml.safe_load((deploy / "prometheus" / "cryomamba.rules.yml").read_text())
    named = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    cases = yaml.safe_load((deploy / "prometheus" / "cryomamba.test.yml").read_text())["tests"]
    fired = {one["alertname"] for case in cases for one in case["alert_rule_test"] if one.get("exp_alerts")}
    assert fired == named
    guide = (deploy.parent / "docs" / "operations" / "monitoring.md").read_text()
    assert {name for name in named if f"`{name}`" not in guide} == set()


def test_prometheus_takes_the_configuration(deploy: Path, promtool: str, tmp_path: Path) -> None:
    """With the token's file where it is named, ``promtool check config`` finds nothing."""
    for path in (deploy / "prometheus").iterdir():
        shutil.copy(path, tmp_path)
    token = tmp_path / "token"
    token.write_text("x")
    text = (tmp_path / "prometheus.yml").read_text()
    assert "/etc/prometheus/cryomamba.token" in text
    (tmp_path / "prometheus.yml").write_text(text.replace("/etc/prometheus/cryomamba.token", str(token)))
    command = [promtool, "check", "config", "prometheus.yml"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stdout + said.stderr


def names_of_the_gateway(home: Path) -> set[str]:
    metrics = Metrics(home)
    metrics.count_response("GET", "/v1/jobs", 200, 0.1)
    metrics.frames.labels("binary").inc()
    activity = Activity(workers=1, pending=0, running=0, oldest_pending_s=0, ended={})
    text = metrics.text(activity).decode()
    names = set(re.findall(r"^(cryomamba_\w+)", text, re.MULTILINE))
    # A histogram is called by its family's name in the guide.
    return names | {name.removesuffix("_bucket") for name in names}


def test_rules_and_guide_name_numbers_that_there_are(deploy: Path, tmp_path: Path) -> None:
    """Every metric in a rule, in its test and in the guide is one that the gateway gives."""
    there = names_of_the_gateway(tmp_path)
    for path in (
        deploy / "prometheus" / "cryomamba.rules.yml",
        deploy / "prometheus" / "cryomamba.test.yml",
        deploy.parent / "docs" / "operations" / "monitoring.md",
    ):
        named = set(re.findall(r"\bcryomamba_\w+(?=[{\s`)/])", path.read_text()))
        assert named, path.name
        assert named <= there, path.name
