"""The outermost layer: whatever goes wrong becomes a sentence, a hint and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup

from cryomamba.errors import CryoMambaError, InternalError, InvalidRequestError
from cryomamba_cli.output import complain, trace
from cryomamba_cli.signals import Interrupted
from cryomamba_server.exit_codes import ExitCode, exit_code

if TYPE_CHECKING:
    from typer._click.core import Context


class Commands(TyperGroup):
    """A command group whose commands end with a documented exit code, never with a traceback."""

    def invoke(self, ctx: Context) -> object:
        """Run the chosen command."""
        with reported():
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


@contextmanager
def reported() -> Iterator[None]:
    """Turn exceptions into messages on stderr and :class:`typer.Exit` with the code that fits."""
    try:
        yield
    except CryoMambaError as error:
        raise _failed(error) from None
    except Interrupted as interrupt:
        raise typer.Exit(interrupt.exit_code) from None
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except BrokenPipeError:
        _close_quietly()
        raise typer.Exit(ExitCode.BROKEN_PIPE) from None
    except OSError as error:
        raise _failed(_of_the_system(error)) from None
    except (typer.Exit, typer.Abort, typer.TyperException):
        raise
    except Exception as error:  # noqa: BLE001 (the last line: a defect is told as one)
        raise _failed(_defect(error)) from None


def _failed(error: CryoMambaError) -> typer.Exit:
    trace()
    complain(error)
    return typer.Exit(exit_code(error))


def _of_the_system(error: OSError) -> CryoMambaError:
    where = f"'{error.filename}'" if error.filename else "A file"
    return InvalidRequestError(
        f"{where} cannot be used: {error.strerror or error}.",
        hint="Look at the path, its permissions and the free space of its disk.",
    )


def _defect(error: Exception) -> CryoMambaError:
    return InternalError(
        f"Something unexpected happened: {type(error).__name__}: {error}",
        hint="Run it again with CRYOMAMBA_LOG=debug to see where, and report it.",
    )


def _close_quietly() -> None:
    """Send what is still buffered to nowhere, or the interpreter complains about the pipe at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
