"""Fixtures and hooks for all tests: deterministic Hypothesis, the folder of real files, no skipped tests in CI."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "suite", derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

# Qt loads only where its system libraries are; tests/desktop is skipped elsewhere.
HAS_QT = ctypes.util.find_library("EGL") and importlib.util.find_spec("pytestqt")
pytest_plugins = ["pytestqt.plugin"] if HAS_QT else []
# pytest-qt would prefer PySide6 to the program's default. qtpy takes the binding that is loaded already.
if importlib.util.find_spec("PyQt6"):
    os.environ.setdefault("PYTEST_QT_API", os.environ.get("QT_API", "pyqt6"))

SHARED = Path(__file__).parents[2] / "shared" / "data"
NOT_SHARED = "the folder of real files is not beside this checkout"

# In CI everything that a test needs is installed, so a skipped test would be a test that is missing unnoticed.
IN_CI = os.environ.get("CI") == "true"
MAY_SKIP = (NOT_SHARED,)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real files beside the checkout; other clones have none."""
    if not SHARED.is_dir():
        pytest.skip(NOT_SHARED)
    return SHARED


class DiskOrder:
    """The order of ``fsync`` calls and renames, which decides what a power failure would leave."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int]] = []

    def add_sync(self, descriptor: int) -> None:
        self.calls.append(("sync", os.fstat(descriptor).st_ino, 0))

    def add_rename(self, target: Path) -> None:
        """Note a rename that has just been done."""
        inode = 0 if target.is_dir() else target.stat().st_ino
        self.calls.append(("rename", inode, target.parent.stat().st_ino))

    def check(self) -> int:
        """Assert that each file was synced before its rename, and its folder after; return the number of renames."""
        syncs = [(n, inode) for n, (kind, inode, _) in enumerate(self.calls) if kind == "sync"]
        renames = [(n, inode, folder) for n, (kind, inode, folder) in enumerate(self.calls) if kind == "rename"]
        for n, inode, folder in renames:
            assert not inode or any(earlier < n and inode == one for earlier, one in syncs), "renamed before a sync"
            assert any(later > n and folder == one for later, one in syncs), "folder not synced"
        return len(renames)


@pytest.fixture
def disk_order(monkeypatch: pytest.MonkeyPatch) -> DiskOrder:
    """Record ``fsync`` calls and renames."""
    order = DiskOrder()
    fsync = os.fsync

    def recording_fsync(descriptor: int) -> None:
        fsync(descriptor)
        order.add_sync(descriptor)

    def recording(rename: Callable[..., None]) -> Callable[..., None]:
        def renamed(source: str | Path, target: str | Path) -> None:
            rename(source, target)
            order.add_rename(Path(target))

        return renamed

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "rename", recording(os.rename))
    monkeypatch.setattr(os, "replace", recording(os.replace))
    return order


def fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure, except for want of the folder of real files."""
    if report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    if not any(allowed in reason for allowed in MAY_SKIP):
        report.outcome = "failed"
        report.longrepr = f"In CI no test may be skipped: {reason}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the files with slow tests first, so that no process has one left at the end when the others are done."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if IN_CI:
        fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if IN_CI:
        fail_if_skipped(report)
    return report
