"""Licences of the packages that CryoMamba installs: all known, and no strong copyleft except that of PyQt6."""

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


@pytest.mark.parametrize(("lock", "allowed"), [("server", set()), ("desktop", {"pyqt6", "pyqt6-sip"})])
def test_only_pyqt6_is_under_a_strong_copyleft(licences: ModuleType, lock: str, allowed: set[str]) -> None:
    """Each installed package states its licence, and only PyQt6, of the desktop, is under a GPL alone."""
    found = {name: licences.licence(name) for name in licences.names(lock)}
    assert len([text for text in found.values() if text]) > 40
    assert [name for name, text in found.items() if text == "not stated"] == []
    assert {name for name, text in found.items() if text and licences.is_strong_copyleft(text)} <= allowed


def test_the_other_binding_has_no_strong_copyleft(licences: ModuleType) -> None:
    """PySide6 is under the LGPL, and its add-ons, some of which are not, are not installed."""
    for name in ("pyside6-essentials", "shiboken6"):
        assert not licences.is_strong_copyleft(licences.licence(name))
    assert licences.licence("pyside6-addons") is None


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
def test_the_gpl_is_distinguished_from_the_lgpl(licences: ModuleType, text: str, strong: bool) -> None:
    """In SPDX expressions, classifiers and free text."""
    assert licences.is_strong_copyleft(text) is strong
