"""The command line, ``cryomamba``: one module per command or group of commands."""

from __future__ import annotations


def main() -> None:
    """Run the command line; the entry point of the console script and of ``python -m cryomamba_cli``."""
    import sys

    from cryomamba.printable import configure_stream
    from cryomamba_cli.app import app

    for stream in (sys.stdout, sys.stderr):
        configure_stream(stream)
    app(prog_name="cryomamba")
