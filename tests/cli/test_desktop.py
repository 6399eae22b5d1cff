"""``desktop``: launch the napari app."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from typer.testing import Result

Cli = Callable[..., Result]


@pytest.mark.parametrize("missing", ["napari", "qtpy"])
def test_without_the_desktop_extra_the_error_says_what_to_install(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """The hint has the command that installs the extra, if napari is missing and if Qt is."""
    for name in [name for name in sys.modules if name.startswith("napari_cryomamba")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    done = cli("desktop")
    assert done.exit_code == 2
    assert "is not installed" in done.stderr
    assert "cryomamba[desktop]" in done.stderr
