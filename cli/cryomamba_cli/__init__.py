"""The command line, ``cryomamba``: one module per command or group of commands."""

from __future__ import annotations


def main() -> None:
    """Run the command line; the entry point of the console script and of ``python -m cryomamba_cli``."""
    from cryomamba_cli.app import app

    app(prog_name="cryomamba")
