"""Engines of other packages are found; what is wrong with one is said in a sentence that names its package."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path

import pytest

from cryomamba._version import __version__
from cryomamba.engines.discovery import Discovered, discover_engines, unfit_version

GOOD = """
import numpy as np
from cryomamba.engines import Engine, EngineParameters


class Good(Engine[EngineParameters]):
    name = "good"
    summary = "An engine for tests."
    labels = {1: "thing"}

    def predict(self, tile):
        return np.zeros(tile.shape, np.uint8)


class Nameless(Engine[EngineParameters]):
    labels = {1: "thing"}

    def predict(self, tile):
        return np.zeros(tile.shape, np.uint8)


class Abstract(Engine[EngineParameters]):
    name = "abstract"
    summary = "An engine for tests."
    labels = {1: "thing"}


class Wide(Good):
    name = "wide"
    labels = {70_000: "thing"}


def function(tile):
    return tile
"""


class Installer:
    """Puts packages into a folder that is searched for modules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, points: Mapping[str, str], code: str = GOOD, requires: Sequence[str] = ()) -> None:
        module, info = name.replace("-", "_"), self.folder / f"{name}-1.2.dist-info"
        info.mkdir()
        (self.folder / f"{module}.py").write_text(code)
        lines = [f"Requires-Dist: {each}\n" for each in requires]
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n" + "".join(lines))
        entries = "".join(f"{point} = {module}:{target}\n" for point, target in points.items())
        (info / "entry_points.txt").write_text(f"[cryomamba.engines]\n{entries}")

    def discover(self, only: str | None = None) -> Discovered:
        return discover_engines(list(self._points()), only)

    def _points(self) -> Iterator[EntryPoint]:
        found: list[Distribution] = [*distributions(path=[str(self.folder)])]
        for dist in found:
            yield from dist.entry_points.select(group="cryomamba.engines")


@pytest.fixture
def installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installer]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Installer(tmp_path)
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_an_engine_of_another_package_is_found_with_the_name_of_its_package(installer: Installer) -> None:
    """A package of its own offers an engine through an entry point alone."""
    installer.install("good-package", {"good": "Good"}, requires=[f"cryomamba=={__version__}", "numpy"])
    found = installer.discover()
    assert found.engines["good"].summary == "An engine for tests."
    assert found.packages == {"good": "good-package 1.2"}
    assert found.broken == {}


@pytest.mark.parametrize(
    ("point", "target", "words"),
    [
        ("good", "function", "is not a class that derives from"),
        ("nameless", "Nameless", "does not set name and summary"),
        ("abstract", "Abstract", "does not define predict"),
        ("wide", "Wide", "must be from 1 to 65535"),
        ("other", "Good", "has the name 'good', its entry point 'other'"),
        ("good", "Lacking", "AttributeError"),
    ],
)
def test_what_is_no_engine_is_named_with_what_it_lacks(
    installer: Installer, point: str, target: str, words: str
) -> None:
    """An entry point that gives something else is recorded with package and reason, and raises nothing."""
    installer.install("a-package", {point: target})
    broken = installer.discover().broken[point]
    assert words in broken.reason
    assert broken.reason.startswith("a-package 1.2 ")
    assert broken.hint


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import module_that_is_not_there", "ModuleNotFoundError: No module named 'module_that_is_not_there'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise ImportError('no x in (/srv/env/lib/y.py)')", "ImportError: no x in (y.py)"),
        ("def", "SyntaxError: invalid syntax"),
        ("import sys; sys.exit('no licence')", "SystemExit: no licence"),
    ],
)
def test_an_import_that_fails_leaves_the_others(installer: Installer, code: str, words: str) -> None:
    """Whatever a package raises when it is imported, the engines of the others are found."""
    installer.install("broken-package", {"broken": "Engine"}, code)
    installer.install("good-package", {"good": "Good"})
    found = installer.discover()
    assert list(found.engines) == ["good"]
    assert found.broken["broken"].reason.startswith(f"broken-package 1.2 cannot be imported: {words}")
    assert "broken-package" in found.broken["broken"].hint


def test_a_package_for_another_version_is_not_imported(installer: Installer) -> None:
    """The requirement of its metadata decides, before any of its code runs."""
    installer.install("old-package", {"old": "Old"}, "raise AssertionError", ["cryomamba[inference]<0.1"])
    broken = installer.discover().broken["old"]
    assert broken.reason == f"old-package 1.2 was made for CryoMamba <0.1, and this is CryoMamba {__version__}."
    assert "pip install --upgrade old-package" in broken.hint


def test_the_others_are_not_imported_for_one_engine(installer: Installer) -> None:
    """Only the package of the engine that is asked for is imported, whatever happens in the others."""
    installer.install("engine-good", {"good": "Good"})
    installer.install("engine-broken", {"broken": "Good"}, "raise RuntimeError('imported')\n")
    found = installer.discover("good")
    assert list(found.engines) == ["good"]
    assert not found.broken
    assert "engine_broken" not in sys.modules


def test_of_two_engines_with_one_name_the_second_is_named(installer: Installer) -> None:
    """Neither takes the place of the other in silence."""
    installer.install("first-package", {"good": "Good"})
    installer.install("second-package", {"good": "Good"})
    found = installer.discover()
    assert found.packages == {"good": "first-package 1.2"}
    reason = found.broken["good.second-package"].reason
    assert reason == "second-package 1.2 offers an engine with the name 'good', which that of first-package 1.2 has."


@pytest.mark.parametrize(
    ("requires", "version", "fits"),
    [
        ([], "0.1.0", True),
        (["numpy>=9"], "0.1.0", True),
        (["cryomamba"], "0.1.0", True),
        (["CryoMamba[inference]>=0.1,<0.2"], "0.1.7", True),
        (["cryomamba>=0.1,<0.2"], "0.2.0", False),
        (["cryomamba>=0.1"], "0.2.0.dev3", True),
        (["cryomamba>=9; extra == 'all'"], "0.1.0", True),
        (["cryomamba>=9; python_version < '3'"], "0.1.0", True),
        (["not a requirement!"], "0.1.0", True),
    ],
)
def test_versions_fit_as_pip_sees_them(requires: list[str], version: str, fits: bool) -> None:
    """Extras, markers and development versions count as in the packaging standards."""
    assert (unfit_version("p 1", requires, version) == "") == fits
