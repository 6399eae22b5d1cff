"""Finds the engines of all installed packages, and says in a sentence why one of them cannot be used.

A package offers an engine through an entry point of the group ``cryomamba.engines``. Nothing that a package raises when
it is imported ends the process: what is wrong with it becomes a :class:`BrokenEngine`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any, Final

from cryomamba._version import __version__
from cryomamba.engines.api import Engine
from cryomamba.engines.program_output import without_folders
from cryomamba.optional_imports import missing_package

GROUP: Final = "cryomamba.engines"
OWN: Final = "cryomamba"
"""Name of this distribution, whose engines come first where two have the same name."""
_NAME: Final = re.compile(r"[0-9A-Za-z_.-]{1,64}")
_LABEL_MAX: Final = 0xFFFF
_TEXT_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class BrokenEngine:
    """An entry point that gives no engine.

    Attributes
    ----------
    reason : str
        A sentence that names the package.
    hint : str
        What to do.
    package : str
        Name and version of the package that offers it.
    """

    reason: str
    hint: str
    package: str = ""


@dataclass(frozen=True, slots=True)
class Discovered:
    """The engines of all installed packages.

    Attributes
    ----------
    engines, broken : dict
        By name.
    packages : dict
        Name and version of the package, by the name of its engine; without the engines that come with CryoMamba.
    """

    engines: Mapping[str, type[Engine[Any]]]
    broken: Mapping[str, BrokenEngine]
    packages: Mapping[str, str]


def discover_engines(points: Iterable[EntryPoint] | None = None, only: str | None = None) -> Discovered:
    """Import the engines of all installed packages.

    Parameters
    ----------
    points : iterable of EntryPoint, optional
        Those of the group ``cryomamba.engines`` if not given.
    only : str, optional
        Name of an engine; no other is imported.
    """
    engines: dict[str, type[Engine[Any]]] = {}
    broken: dict[str, BrokenEngine] = {}
    packages: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP) if points is None else points, key=_rank):
        package, name = _package(point.dist), _shown_name(point.name)
        if only not in {None, name}:
            continue
        if name in engines:
            other = packages.get(name) or "CryoMamba itself"
            key = f"{name}.{'' if point.dist is None else point.dist.name}"[:64]
            broken[key] = BrokenEngine(
                f"{package} offers an engine with the name '{name}', which that of {other} has.",
                f"Remove the package, or ask its authors for another name: {_project(point.dist)}.",
                package,
            )
            continue
        engine = _load(point, package)
        if isinstance(engine, BrokenEngine):
            broken[name] = engine
            continue
        engines[name] = engine
        if not _is_own(point.dist):
            packages[name] = package
    return Discovered(engines, broken, packages)


def unfit_version(package: str, requires: Iterable[str], version: str = __version__) -> str:
    """Return in a sentence that a package was made for another version of CryoMamba; empty if it fits.

    Parameters
    ----------
    package : str
        Name and version of the package.
    requires : iterable of str
        Its requirements, as its metadata has them.
    version : str
        The version of CryoMamba that is installed.
    """
    # Importing it takes 50 ms, which the broker, who imports no engines, need not spend when it starts.
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    for text in requires:
        try:
            one = Requirement(text)
        except InvalidRequirement:
            continue
        if canonicalize_name(one.name) != OWN or (one.marker is not None and not one.marker.evaluate({"extra": ""})):
            continue
        if not one.specifier.contains(version, prereleases=True):
            return f"{package} was made for CryoMamba {one.specifier}, and this is CryoMamba {version}."
    return ""


def interface_problem(name: str, engine: object) -> str:
    """Return what an object lacks to be the engine of that name, as the end of a sentence; empty for an engine."""
    if not (isinstance(engine, type) and issubclass(engine, Engine)):
        return "its entry point is not a class that derives from cryomamba.engines.Engine"
    missing = [each for each in ("name", "summary", "labels") if not getattr(engine, each, None)]
    if missing:
        return f"its class {engine.__name__} does not set {' and '.join(missing)}"
    if inspect.isabstract(engine):
        return f"its class {engine.__name__} does not define {' and '.join(sorted(engine.__abstractmethods__))}"
    if engine.name != name:
        return f"its class {engine.__name__} has the name '{engine.name}', its entry point '{name}'"
    labels: list[object] = list(engine.labels)
    if not all(isinstance(label, int) and 0 < label <= _LABEL_MAX for label in labels):
        return f"labels of its class {engine.__name__} must be from 1 to {_LABEL_MAX}"
    return ""


def _load(point: EntryPoint, package: str) -> type[Engine[Any]] | BrokenEngine:
    upgrade = f"Install a version of the package for this one: pip install --upgrade {_project(point.dist)}"
    unfit = "" if _is_own(point.dist) or point.dist is None else unfit_version(package, point.dist.requires or ())
    if unfit:
        return BrokenEngine(unfit, upgrade, package)
    try:
        engine = point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 (the import of another's module may raise anything)
        absent = missing_package(error) if isinstance(error, ImportError) and _is_own(point.dist) else None
        if absent is not None:
            # Engines need more than the packages for masks.
            return BrokenEngine(absent.message, "Install it with: pip install 'cryomamba[inference]'.", package)
        what = without_folders(" ".join(f"{type(error).__name__}: {error}".split()))[:_TEXT_MAX].rstrip(": .")
        hint = f"Install what it needs, or remove it: pip install --force-reinstall {_project(point.dist)}"
        if _is_own(point.dist):
            hint = "Install what engines need: pip install 'cryomamba[inference]'"
        return BrokenEngine(f"{package} cannot be imported: {what}.", hint, package)
    problem = interface_problem(point.name, engine)
    if problem:
        return BrokenEngine(f"{package} offers no engine: {problem}.", "Report this to its authors.", package)
    checked: type[Engine[Any]] = engine
    return checked


def _rank(point: EntryPoint) -> tuple[bool, str, str]:
    return not _is_own(point.dist), point.name, "" if point.dist is None else point.dist.name


def _is_own(dist: Distribution | None) -> bool:
    from packaging.utils import canonicalize_name

    return dist is not None and str(canonicalize_name(dist.name)) == OWN


def _package(dist: Distribution | None) -> str:
    return "The package" if dist is None else f"{dist.name} {dist.version}"


def _project(dist: Distribution | None) -> str:
    return "PACKAGE" if dist is None else dist.name


def _shown_name(name: str) -> str:
    """Return the name of an entry point as an engine may be named."""
    return name if _NAME.fullmatch(name) else (re.sub(r"[^0-9A-Za-z_.-]", "_", name)[:64] or "unnamed")
