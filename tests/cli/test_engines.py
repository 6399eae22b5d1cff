"""``engines``: the segmentation engines and their parameters."""

from __future__ import annotations

import json
from collections.abc import Callable

from typer.testing import Result

Cli = Callable[..., Result]


def test_engines_are_listed_and_described(cli: Cli) -> None:
    """The list has each engine; a single engine shows its parameters with unit, default and range."""
    names = [info["name"] for info in json.loads(cli("engines", "--json").stdout)]
    assert {"demo", "threshold"} <= set(names)
    listed = cli("engines").stdout
    assert all(name in listed for name in names)
    row = next(line for line in cli("engines", "threshold").stdout.splitlines() if line.startswith("sigma_A"))
    assert "Å" in row
    assert "≥ 0" in row
    unknown = cli("engines", "nonsense")
    assert unknown.exit_code == 2
    assert "threshold" in unknown.stderr
