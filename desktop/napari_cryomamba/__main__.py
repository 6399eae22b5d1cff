"""The desktop as a program: ``cryomamba desktop [FILE…] [--server URL]`` or ``python -m napari_cryomamba``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cryomamba._version import __version__
from cryomamba.errors import ErrorCode, InvalidRequestError


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="cryomamba desktop", description="Open tomograms in napari and segment them.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="tomograms to open")
    parser.add_argument("--server", metavar="URL", help="http://… via HTTP, tcp://… or ipc://… for a direct connection")
    parser.add_argument("--version", action="version", version=f"cryomamba {__version__}")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Open the window, and return when it is closed.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process if not given.

    Returns
    -------
    int
        Exit status.

    Raises
    ------
    InvalidRequestError
        ``unavailable``: the extra ``desktop`` is not installed, or a binding of Qt is missing.
    """
    arguments = parse(argv)
    # Not at the top: napari takes seconds to import, which --help need not wait for.
    try:
        import napari
        import qtpy  # noqa: F401 (napari itself imports it only for its window)

        from napari_cryomamba.app.idle_collection import IdleCollection
        from napari_cryomamba.window import open_window
    except ImportError as error:
        raise InvalidRequestError(
            f"The napari app is not installed: {error!s}.",
            code=ErrorCode.UNAVAILABLE,
            hint="Install it with: pip install 'cryomamba[desktop]' (in a source checkout: make desktop).",
        ) from error

    viewer, panel = open_window(arguments.files, server=arguments.server)
    collection = IdleCollection(viewer)
    napari.run()
    collection.close()
    panel.shut_down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
