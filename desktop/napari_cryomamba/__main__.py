"""The desktop as a program: ``cryomamba desktop [FILE…] [--server URL]`` or ``python -m napari_cryomamba``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cryomamba._version import __version__


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="cryomamba desktop", description="Open tomograms in napari and segment them.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="tomograms to open")
    parser.add_argument("--server", metavar="URL", help="http://… for a gateway, tcp://… or ipc://… for a bus")
    parser.add_argument("--version", action="version", version=f"cryomamba {__version__}")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Open the window, and stay until it is closed.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process if not given.

    Returns
    -------
    int
        Exit status.
    """
    wanted = parse(argv)
    # After the command line was read: napari takes seconds to import, and --help should not.
    import napari

    from napari_cryomamba.window import open_window

    _, panel = open_window(wanted.files, server=wanted.server)
    napari.run()
    panel.shut()
    return 0


if __name__ == "__main__":
    sys.exit(main())
