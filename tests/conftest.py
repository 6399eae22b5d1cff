"""What all tests share: a deterministic hypothesis and the folder of real files."""

from __future__ import annotations

import ctypes.util
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

# Qt loads only where its system libraries are; tests/desktop skips elsewhere.
pytest_plugins = ["pytestqt.plugin"] if ctypes.util.find_library("EGL") else []

SHARED = Path(__file__).parents[2] / "shared" / "data"
NOT_SHARED = "the folder of real files is not beside this checkout"

# In CI everything that a test needs is there, so a test that skips itself would be one that nobody notices missing.
IN_CI = os.environ.get("CI") == "true"
MAY_SKIP = (NOT_SHARED,)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real files beside the checkout; a stranger's clone has none."""
    if not SHARED.is_dir():
        pytest.skip(NOT_SHARED)
    return SHARED


class DiskOrder:
    """What was brought to the disk and what was renamed, in order: what a power cut would leave can be read off it."""

    def __init__(self) -> None:
        self.done: list[tuple[str, int, int]] = []

    def synced(self, descriptor: int) -> None:
        self.done.append(("sync", os.fstat(descriptor).st_ino, 0))

    def renamed(self, target: Path) -> None:
        """Note a rename that has just happened."""
        inode = 0 if target.is_dir() else target.stat().st_ino
        self.done.append(("rename", inode, target.parent.stat().st_ino))

    def check(self) -> int:
        """Assert that each file was on the disk before it got its name, and its name after; return how many names."""
        syncs = [(n, inode) for n, (kind, inode, _) in enumerate(self.done) if kind == "sync"]
        renames = [(n, inode, folder) for n, (kind, inode, folder) in enumerate(self.done) if kind == "rename"]
        for n, inode, folder in renames:
            assert not inode or any(earlier < n and inode == one for earlier, one in syncs), "content after its name"
            assert any(later > n and folder == one for later, one in syncs), "a name that may be lost"
        return len(renames)


@pytest.fixture
def disk_order(monkeypatch: pytest.MonkeyPatch) -> DiskOrder:
    """Listen to ``fsync`` and to renames."""
    order = DiskOrder()
    fsync = os.fsync

    def listening_fsync(descriptor: int) -> None:
        fsync(descriptor)
        order.synced(descriptor)

    def listening(rename: Callable[..., None]) -> Callable[..., None]:
        def renamed(source: str | Path, target: str | Path) -> None:
            rename(source, target)
            order.renamed(Path(target))

        return renamed

    monkeypatch.setattr(os, "fsync", listening_fsync)
    monkeypatch.setattr(os, "rename", listening(os.rename))
    monkeypatch.setattr(os, "replace", listening(os.replace))
    return order


def fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure, but for those that an absent folder of real files excuses."""
    if report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    if not any(allowed in reason for allowed in MAY_SKIP):
        report.outcome = "failed"
        report.longrepr = f"In CI no test may be skipped: {reason}"


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
