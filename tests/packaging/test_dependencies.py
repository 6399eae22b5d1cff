"""Dependencies: each is imported by the part that asks for it, and nothing else is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OURS: Final = ("cryomamba", "cryomamba_", "napari_cryomamba")
SERVICES: Final = "services"
PACKAGES: Final = packages_distributions()
# The folders whose code an extra is for.
FOLDERS: Final[Mapping[str, Sequence[str]]] = {
    "": ("sdk", "cli"),
    "tomo": ("sdk",),
    # Pictures of batches are drawn by the command line.
    "inference": (f"{SERVICES}/inference", "cli"),
    "gateway": (f"{SERVICES}/gateway", f"{SERVICES}/common"),
    "server": (f"{SERVICES}/broker", "cli"),
    "torch": (f"{SERVICES}/inference",),
    "nnunet": (f"{SERVICES}/inference",),
    "membrain": (f"{SERVICES}/inference",),
    "convert": (f"{SERVICES}/inference",),
    "dask": (f"{SERVICES}/inference",),
    "otel": (f"{SERVICES}/common",),
    "desktop": ("desktop",),
    "desktop-pyside6": ("desktop",),
}
# qtpy imports whichever of these is installed; honcho is run as a program; the Dask scheduler draws with bokeh.
NOT_IMPORTED: Final = {"pyqt6", "pyqt6-qt6", "pyside6-essentials", "honcho", "bokeh"}
# Packages that belong to another one of ours and are imported for its sake.
BROUGHT_BY: Final = {
    "starlette": "fastapi",
    "h11": "uvicorn",
    "numcodecs": "zarr",
    "httpcore": "httpx",
    "referencing": "jsonschema",
    "dask": "distributed",
    "pandas": "napari",
    "vispy": "napari",
}
# Several packages share the namespace.
NAMESPACES: Final = {"opentelemetry": {"opentelemetry-exporter-otlp-proto-http", "opentelemetry-sdk"}}
# Packages of the extras for other frameworks by what is imported of them, as this environment has none of them.
FRAMEWORKS: Final = {"torch": "torch", "dynamic_network_architectures": "nnunetv2", "monai": "monai"}
# The command line imports these where it needs the extras `inference`, `server` and `desktop`.
CLI_EXTRAS: Final = {"pillow", "psutil", "onnx"}


def names(requirements: Sequence[str]) -> set[str]:
    """Return the packages of a list of requirements, without this project's own extras."""
    found = {re.split(r"[\[<>=!~; ]", item)[0].lower() for item in requirements}
    return found - {"cryomamba"}


def files(folder: str) -> Iterator[Path]:
    return (path for path in (ROOT / folder).rglob("*.py") if "testing" not in path.parts)


@cache
def imported(path: Path) -> set[str]:
    """Return the top-level modules that a file imports, those of `import_optional` too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Import():
                found |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(module)):
                found.add(module)
            case ast.Call(func=ast.Name(id="import_optional"), args=[ast.Constant(value=str(module))]):
                found.add(module)
    return {name.partition(".")[0] for name in found}


def distributions(modules: set[str]) -> set[str]:
    """Return the packages that foreign modules come from."""
    foreign = {name for name in modules if name not in sys.stdlib_module_names and not name.startswith(OURS)}
    found = {PACKAGES[name][0].lower().replace("_", "-") for name in foreign - NAMESPACES.keys() if name in PACKAGES}
    found |= {FRAMEWORKS[name] for name in foreign & FRAMEWORKS.keys()}
    return found.union(*(NAMESPACES[name] for name in foreign & NAMESPACES.keys()))


@pytest.mark.parametrize("extra", FOLDERS)
def test_each_dependency_is_imported_by_the_part_that_asks_for_it(extra: str) -> None:
    """What an extra installs, code of its part imports."""
    asked = names(PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"])
    used = distributions({name for folder in FOLDERS[extra] for path in files(folder) for name in imported(path)})
    assert asked - used - NOT_IMPORTED == set()


@pytest.mark.parametrize(
    ("folders", "extras"),
    [
        (("sdk",), ["tomo"]),
        ((f"{SERVICES}/inference",), ["tomo", "inference", "torch", "nnunet", "membrain", "convert", "dask"]),
        ((f"{SERVICES}/common", f"{SERVICES}/gateway"), ["gateway", "otel"]),
        ((f"{SERVICES}/broker",), ["server"]),
        (("cli",), ["server"]),
        (("desktop",), ["tomo", "inference", "desktop"]),
    ],
    ids=lambda value: "-".join(value).replace("/", "-"),
)
def test_nothing_is_imported_that_is_not_asked_for(folders: Sequence[str], extras: Sequence[str]) -> None:
    """Each package that a part imports is named in the extras that are installed for it."""
    used = distributions({name for folder in folders for path in files(folder) for name in imported(path)})
    asked = names(PROJECT["dependencies"]).union(*(names(PROJECT["optional-dependencies"][extra]) for extra in extras))
    asked |= CLI_EXTRAS if "cli" in folders else set()
    assert {BROUGHT_BY.get(name, name) for name in used} - asked == set()


def test_every_extra_is_looked_at() -> None:
    """No extra is missing from the tests above."""
    assert set(PROJECT["optional-dependencies"]) == set(FOLDERS) - {""}
