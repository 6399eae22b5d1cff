"""What the programs of all services have in common: their options, and how they start, end and fail."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from cryomamba._version import __version__
from cryomamba.errors import CryoMambaError
from cryomamba.settings import Settings, load_settings
from cryomamba_server.exit_codes import ExitCode, exit_code
from cryomamba_server.logs import configure_logging
from cryomamba_server.shutdown import run_service
from cryomamba_server.systemd import stay_alive

GARBAGE_AFTER: Final = 10_000


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
        epilog=f"Configured by {variables}; see docs/reference/configuration.md. SIGTERM or Ctrl-C ends it; "
        "docs/reference/exit-codes.md has the meaning of its exit status.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def run_program(
    service: str,
    serve: Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]],
    *,
    change: Callable[[Settings], Settings] = lambda settings: settings,
) -> ExitCode:
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
    ExitCode
        ``OK`` after a signal; else why it could not start, or what broke it. The log says more.
    """
    logger = logging.getLogger(f"cryomamba_{service}")
    try:
        settings = change(load_settings())
        configure_logging(settings.log, service=service)
        run_service(lambda stop: _watched(serve(settings, stop)))
    except CryoMambaError as error:
        # Before the configuration is read there is no handler; the last resort of logging writes to stderr.
        logger.error("%s", error)
        return exit_code(error)
    except OSError as error:
        where = f"'{error.filename}'" if error.filename else "A file or socket"
        logger.error("%s cannot be used: %s.", where, error.strerror or error)
        logger.debug("It was here.", exc_info=True)
        return ExitCode.UNAVAILABLE
    except Exception:
        logger.exception("The service has ended by a defect.")
        return ExitCode.INTERNAL
    return ExitCode.OK


async def _watched(serving: Coroutine[Any, Any, None]) -> None:
    """Serve, and let systemd see meanwhile that the event loop turns."""
    _collect_seldom()
    signs_of_life = asyncio.create_task(stay_alive(), name="watchdog")
    try:
        await serving
    finally:
        signs_of_life.cancel()


def _collect_seldom() -> None:
    """Keep Python's garbage collector from stopping the event loop for a tenth of a second at a time.

    What was imported lives as long as the process, so a collection need not look at it again; and where objects come
    and go by the thousand with every request, to look every 700 of them is far too often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER, 20, 20)
