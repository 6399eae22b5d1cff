"""What the programs of all services have in common: their options, and how they start, end and fail."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from cryomamba._version import __version__
from cryomamba.errors import CryoMambaError
from cryomamba.logs import configure_logging
from cryomamba.settings import Settings, load_settings
from cryomamba.shutdown import run_service


def service_parser(service: str, *, description: str, variables: str) -> argparse.ArgumentParser:
    """Return the parser of ``python -m cryomamba_<service>``.

    Parameters
    ----------
    service : str
    description : str
        What the service is for.
    variables : str
        The environment variables that it reads.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m cryomamba_{service}",
        description=description,
        epilog=f"Configured by {variables}; see docs/reference/configuration.md. SIGTERM or Ctrl-C ends it.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def run_program(
    service: str,
    serve: Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]],
    *,
    change: Callable[[Settings], Settings] = lambda settings: settings,
) -> int:
    """Read the settings and serve until a signal comes; for the main thread.

    Parameters
    ----------
    service : str
        Named in the log.
    serve : callable
        ``await serve(settings, stop)`` works until the event is set.
    change : callable
        Puts the program's own options into the settings.

    Returns
    -------
    int
        The exit status: 0 after a signal, 1 if the service cannot start; the log says why.
    """
    try:
        settings = change(load_settings())
        configure_logging(settings.log, service=service)
        run_service(lambda stop: serve(settings, stop))
    except CryoMambaError as error:
        # Before the configuration is read there is no handler; the last resort of logging writes to stderr.
        logging.getLogger(f"cryomamba_{service}").error("%s", error)
        return 1
    return 0
