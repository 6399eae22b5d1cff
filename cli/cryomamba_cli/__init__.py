"""The command line: ``cryomamba``, a module per group of commands."""

from __future__ import annotations


def main() -> None:
    """Run the command line; what the console script and ``python -m cryomamba_cli`` call."""
    from cryomamba_cli.app import app

    app(prog_name="cryomamba")
