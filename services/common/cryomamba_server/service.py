"""The main program of every service: its options, how it starts and ends, and its exit code."""

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
from cryomamba_server.audit import open_audit_log
from cryomamba_server.descriptors import raise_descriptor_limit, report_exhaustion_rarely
from cryomamba_server.exit_codes import ExitCode, exit_code
from cryomamba_server.logs import configure_logging
from cryomamba_server.shutdown import run_service
from cryomamba_server.systemd import feed_watchdog
from cryomamba_server.tracing import configure_tracing, shut_down_tracing

_GC_THRESHOLD: Final = 10_000


def service_parser(service: str, *, description: str, variables: str) -> argparse.ArgumentParser:
    """Return the parser of ``python -m cryomamba_<service>``.

    Parameters
    ----------
    service : str
    description : str
        What the service does.
    variables : str
        The environment variables that it reads.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m cryomamba_{service}",
        description=description,
        epilog=f"Environment variables: {variables}; see docs/reference/configuration.md. SIGTERM or Ctrl-C stops it; "
        "docs/reference/exit-codes.md lists the exit codes.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def run_program(
    service: str,
    serve: Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]],
    *,
    configure: Callable[[Settings], Settings] = lambda settings: settings,
) -> ExitCode:
    """Read the settings and serve until SIGTERM or Ctrl-C; for the main thread.

    Parameters
    ----------
    service : str
        Its name in the log.
    serve : callable
        ``await serve(settings, stop)`` returns when the event is set.
    configure : callable
        Applies the program's own options to the settings.

    Returns
    -------
    ExitCode
        ``OK`` after a signal; otherwise the kind of error that ended it, which is in the log.
    """
    logger = logging.getLogger(f"cryomamba_{service}")
    try:
        settings = configure(load_settings())
        configure_logging(settings.log, service=service)
        open_audit_log(settings.audit_file, service=service)
        configure_tracing(service=service)
        raise_descriptor_limit()
        run_service(lambda stop: _with_watchdog(serve(settings, stop)))
    except CryoMambaError as error:
        # Before the settings are read, logging has no handler but the last resort, which writes to stderr.
        logger.error("%s", error)
        return exit_code(error)
    except OSError as error:
        where = f"'{error.filename}'" if error.filename else "A file or socket"
        logger.error("%s cannot be used: %s.", where, error.strerror or error)
        logger.debug("Traceback:", exc_info=True)
        return ExitCode.UNAVAILABLE
    except Exception:
        # The last resort: the log has the traceback, and whoever supervises the service its own exit code for a defect.
        logger.exception("The service ended because of a defect.")
        return ExitCode.INTERNAL
    finally:
        shut_down_tracing()
    return ExitCode.OK


async def _with_watchdog(serving: Coroutine[Any, Any, None]) -> None:
    _relax_garbage_collection()
    report_exhaustion_rarely(asyncio.get_running_loop())
    watchdog = asyncio.create_task(feed_watchdog(), name="watchdog")
    try:
        await serving
    finally:
        watchdog.cancel()


def _relax_garbage_collection() -> None:
    """Keep Python's garbage collector from stopping the event loop for a tenth of a second at a time.

    Imported modules live as long as the process, so collections can skip them; and with thousands of short-lived
    objects per request, a collection every 700 allocations is far too frequent.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 20)
