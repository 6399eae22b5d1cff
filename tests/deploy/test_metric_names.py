"""Dashboard, alerts and guide name metrics and labels that a real scrape of a real stack has."""

from __future__ import annotations

import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import cryomamba
from cryomamba.errors import CryoMambaError
from cryomamba.models.events import PreviewEvent
from cryomamba.testing import DEADLINE_S, Stack, wait_until
from cryomamba.volumes import write_volume

pytestmark = [pytest.mark.system, pytest.mark.slow]

Labels = Mapping[str, set[str]]
# Labels that Prometheus adds, and a metric of its own.
ADDED = {"instance", "job"}
OWN = "up"
_SELECTOR = re.compile(r"\b((?:cryomamba|process)_\w+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
_GROUPING = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
_LEGEND = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")


@pytest.fixture(scope="module")
def scrape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What the gateway reports after a job that was completed and watched, and one that has failed."""
    home = tmp_path_factory.mktemp("metrics")
    gone = home / "gone.mrc"
    write_volume(gone, np.zeros((16, 16, 16), np.float32) + np.arange(16, dtype=np.float32), 10.0)
    with Stack(home, env={"CRYOMAMBA_LEASE_S": "5"}) as stack:
        stack.start().wait_ready()
        with cryomamba.connect(stack.http_url) as client:
            job = client.submit(shape=(24, 32, 40), engine="demo", params={"seconds": 4})
            assert any(isinstance(event, PreviewEvent) for event in job.watch())
            stack.stop("inference")
            failing = client.submit(gone, engine="threshold")
            gone.unlink()
            stack.start("inference")
            with pytest.raises(CryoMambaError):
                failing.wait()
        assert httpx.get(f"{stack.http_url}/openapi.json", trust_env=False, timeout=DEADLINE_S).is_success
        assert httpx.get(f"{stack.http_url}/nonsense", trust_env=False, timeout=DEADLINE_S).status_code == 404

        def read() -> str:
            text = httpx.get(f"{stack.http_url}/metrics", trust_env=False, timeout=DEADLINE_S).text
            return text if "cryomamba_worker_memory_bytes{" in text and 'route="unmatched"' in text else ""

        yield wait_until(read, what="the worker to report")


@pytest.fixture(scope="module")
def existing(scrape: str) -> Labels:
    """The labels of each series that was scraped."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(scrape):
        for sample in family.samples:
            found[sample.name] |= set(sample.labels)
    return found


def missing(expression: str, existing: Labels, texts: tuple[str, ...] = ()) -> list[str]:
    """Return the metrics and labels of a query, and the labels in its texts, that were not scraped."""
    problems = []
    labels = set(ADDED)
    for name, matchers in _SELECTOR.findall(expression):
        if name not in existing and name != OWN:
            problems.append(name)
            continue
        has = existing.get(name, set()) | ADDED
        problems += [f"{name}{{{label}}}" for label in _MATCHER.findall(matchers) if label not in has]
        labels |= has
    grouped = [label.strip() for labels_ in _GROUPING.findall(expression) for label in labels_.split(",")]
    named = [label for text in texts for label in _LEGEND.findall(text)]
    return problems + [label for label in (*grouped, *named) if label not in labels]


def targets(deploy: Path) -> list[dict[str, Any]]:
    dashboard = json.loads((deploy / "grafana" / "cryomamba.json").read_text("utf-8"))
    return [target for panel in dashboard["panels"] for target in panel.get("targets", ())]


def test_the_check_itself_finds_what_is_missing() -> None:
    """A metric, a matched label, a grouping and a legend that do not exist are each reported."""
    existing = {"cryomamba_jobs": {"state"}}
    assert missing('sum by (state) (cryomamba_jobs{instance=~"x", state="y"})', existing, ("{{state}}",)) == []
    assert missing("cryomamba_job", existing) == ["cryomamba_job"]
    assert missing('cryomamba_jobs{kind="x"}', existing) == ["cryomamba_jobs{kind}"]
    assert missing("sum by (kind) (cryomamba_jobs)", existing, ("{{other}}",)) == ["kind", "other"]


def test_the_dashboard_queries_what_is_there(deploy: Path, existing: Labels) -> None:
    """Every metric and label in the panels exists, and every panel has a query."""
    found = targets(deploy)
    assert len(found) > 30
    problems = {one["expr"]: missing(one["expr"], existing, (one["legendFormat"],)) for one in found}
    assert {expression: names for expression, names in problems.items() if names} == {}


def test_prometheus_accepts_the_dashboards_queries(deploy: Path, tmp_path: Path, program: Any) -> None:
    """Each is valid PromQL."""
    queries = [one["expr"].replace("$__rate_interval", "5m") for one in targets(deploy)]
    rules = [{"record": f"panel:query:{number}", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run([program("promtool"), "check", "rules", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_query_what_is_there(deploy: Path, existing: Labels) -> None:
    """Every metric and label in the rules and their annotations exists."""
    groups = yaml.safe_load((deploy / "prometheus" / "cryomamba.rules.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    problems = {one["alert"]: missing(one["expr"], existing, tuple(one["annotations"].values())) for one in rules}
    assert {alert: names for alert, names in problems.items() if names} == {}


def test_the_guide_names_every_metric_and_no_other(deploy: Path, existing: Labels) -> None:
    """The table of the page has all families of our own, with their labels."""
    page = (deploy.parent / "docs" / "operations" / "monitoring.md").read_text("utf-8")
    table = page[page.index("| Metric | Meaning |") : page.index("Those about the broker")]
    named = {
        name: set(filter(None, labels.split(",")))
        for name, labels in re.findall(r"`(cryomamba_\w+)(?:\{([\w,]+)\})?`", table)
    }
    suffix = re.compile(r"_(bucket|count|sum|created)$")
    families: defaultdict[str, set[str]] = defaultdict(set)
    for name, labels in existing.items():
        if name.startswith("cryomamba_") and not name.endswith("_created"):
            families[suffix.sub("", name)] |= labels - {"le"}
    process = {name for name in families if name.startswith("cryomamba_broker_process_")}
    assert {name for name in named if name not in families} == set()
    assert {name for name in families.keys() - process if name not in named} == set()
    assert {name: labels for name, labels in named.items() if labels != families[name]} == {}


def test_the_api_description_has_a_route_of_its_own(scrape: str) -> None:
    """It is not counted among the paths that no route matches."""
    assert 'cryomamba_gateway_requests_total{method="GET",route="/openapi.json",status="200"}' in scrape
    assert 'cryomamba_gateway_requests_total{method="GET",route="unmatched",status="404"}' in scrape


def test_jobs_are_measured(scrape: str) -> None:
    """Queue, duration, failure, tiles, previews, files and the worker's memory have values."""
    values = {
        # In the text, labels are in alphabetical order.
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(scrape)
        for sample in family.samples
        if "worker" not in sample.labels
    }
    assert values["cryomamba_jobs_submitted_total", "demo"] == 1
    assert values["cryomamba_job_queue_seconds_count", "demo"] >= 1
    assert values["cryomamba_attempt_seconds_count", "demo", "completed"] == 1
    assert values["cryomamba_attempt_seconds_sum", "demo", "completed"] >= 1
    assert [key[2] for key in values if key[0] == "cryomamba_attempts_failed_total"] == ["threshold"]
    for name in ("cryomamba_tiles_total", "cryomamba_artifact_bytes_total"):
        assert values[name, "demo"] > 0, name
    frames = ("cryomamba_preview_frames_total", "cryomamba_preview_bytes_total", "cryomamba_broker_preview_cache_bytes")
    for name in frames:
        assert values[(name,)] > 0, name
    for name in ("cryomamba_broker_loop_lag_seconds_count", "cryomamba_gateway_preview_delay_seconds_count"):
        assert values[(name,)] > 0, name
    memory = re.search(r"cryomamba_worker_memory_bytes\{[^}]*\} (\S+)", scrape)
    assert memory is not None
    assert float(memory[1]) > 2**24
