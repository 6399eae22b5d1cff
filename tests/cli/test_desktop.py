"""``desktop``: launch the napari app."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from typer.testing import Result

Cli = Callable[..., Result]


def test_without_the_desktop_extra_the_error_says_what_to_install(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint has the command that installs the extra."""
    monkeypatch.setitem(sys.modules, "napari_cryomamba.__main__", None)
    done = cli("desktop")
    assert done.exit_code == 2
    assert "cryomamba[desktop]" in done.stderr
