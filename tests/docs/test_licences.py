"""Licences of what is installed with CryoMamba: known, and none that it would have to take over."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).parents[2] / "docs" / "licences.py"


@pytest.fixture(scope="module")
def licences() -> ModuleType:
    """``docs/licences.py`` as a module."""
    spec = importlib.util.spec_from_file_location("licences", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("lock", ["server", "desktop"])
def test_no_strong_copyleft_gets_in(licences: ModuleType, lock: str) -> None:
    """Each installed package tells its licence, and none is under a GPL alone."""
    found = {name: licences.licence(name) for name in licences.names(lock)}
    assert len([text for text in found.values() if text]) > 40
    assert [name for name, text in found.items() if text == "not told"] == []
    assert [name for name, text in found.items() if text and licences.is_strong_copyleft(text)] == []


@pytest.mark.parametrize(
    ("text", "strong"),
    [
        ("GPL v3", True),
        ("GPL-3.0-only", True),
        ("AGPL-3.0-or-later", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("LGPL-3.0-or-later", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("BSD-3-Clause", False),
        ("MIT AND LGPL-2.1+", False),
        ("LGPL-3.0-only OR GPL-2.0-only OR GPL-3.0-only", False),
        ("GPL-2.0-only OR GPL-3.0-only", True),
        ("LGPL-3.0-only AND GPL-2.0-only", True),
        ("GPL-2.0-only AND (MIT OR Apache-2.0)", True),
    ],
)
def test_a_gpl_is_told_from_a_lesser_one(licences: ModuleType, text: str, strong: bool) -> None:
    """By expression, classifier or free text."""
    assert licences.is_strong_copyleft(text) is strong
