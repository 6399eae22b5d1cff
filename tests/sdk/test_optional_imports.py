"""A package that is missing is named with the extra that brings it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from cryomamba.optional_imports import _EXTRAS, missing_package

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
DISTRIBUTIONS = {
    "cc3d": "connected-components-3d",
    "PIL": "pillow",
    "jwt": "pyjwt",
    "prometheus_client": "prometheus-client",
}


def packages_of(extra: str) -> set[str]:
    extras = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["optional-dependencies"]
    found: set[str] = set()
    for requirement in extras[extra]:
        inner = re.fullmatch(r"cryomamba\[([\w-]+)\]", requirement)
        found |= packages_of(inner[1]) if inner else {re.split(r"[\[<>=!~; ]", requirement)[0]}
    return found


@pytest.mark.parametrize("module", _EXTRAS)
def test_the_extra_that_is_named_brings_the_package(module: str) -> None:
    """Each module is of a package of the extra in pyproject.toml."""
    assert DISTRIBUTIONS.get(module, module) in packages_of(_EXTRAS[module])


def test_a_module_that_is_missing_is_named_with_its_extra() -> None:
    """Also one inside a package; a module of nobody is left to others."""
    error = missing_package(ModuleNotFoundError("No module named 'scipy.ndimage'", name="scipy.ndimage"))
    assert error is not None
    assert "scipy" in error.message
    assert "cryomamba[tomo]" in error.hint
    assert missing_package(ModuleNotFoundError("No module named 'nonsense'", name="nonsense")) is None
