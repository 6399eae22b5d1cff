"""The error boundary: every exception becomes a message, a hint and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import typer
from typer._click.exceptions import NoArgsIsHelpError
from typer.core import TyperGroup

from cryomamba.errors import CryoMambaError, ErrorCode, InternalError, InvalidRequestError, JobFailedError
from cryomamba.printable import printable
from cryomamba_cli.output import errors_as_json, print_error, trace
from cryomamba_cli.signals import Interrupted
from cryomamba_server.exit_codes import ExitCode, exit_code

if TYPE_CHECKING:
    from typer._click.core import Context


class Commands(TyperGroup):
    """A command group whose commands end with a documented exit code instead of a traceback."""

    def main(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """Run the program; what its options set, such as ``--json``, ends with it, as a process may run it again."""
        return copy_context().run(super().main, *args, **options)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: Context | None = None,
        **extra: Any,  # noqa: ANN401
    ) -> Context:
        """Parse the program's own options; how errors are printed depends on the options of the command."""
        own = args[: args.index("--")] if "--" in args else args
        errors_as_json.set("--json" in own)
        with exceptions_reported():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Context) -> object:
        """Run the chosen command."""
        with exceptions_reported():
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


@contextmanager
def exceptions_reported() -> Iterator[None]:
    """Turn exceptions into messages on stderr and :class:`typer.Exit` with the matching exit code."""
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
        raise _failed(_os_error(error)) from None
    except MemoryError as error:
        raise _failed(_too_little_memory(error)) from None
    except NoArgsIsHelpError:
        raise
    except typer.TyperException as error:
        # It may quote file names, for which the shell has expanded a pattern.
        if errors_as_json.get():
            raise _failed(_usage_error(error)) from None
        error.message = printable(error.message)
        raise
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:  # noqa: BLE001 (the last resort: report a defect)
        raise _failed(_defect(error)) from None


def _failed(error: CryoMambaError) -> typer.Exit:
    trace()
    print_error(error)
    return typer.Exit(exit_code(error))


def _usage_error(error: typer.TyperException) -> CryoMambaError:
    context = getattr(error, "ctx", None)
    command = "cryomamba" if context is None else context.command_path
    return InvalidRequestError(error.format_message(), hint=f"'{command} --help' explains the command.")


def _os_error(error: OSError) -> CryoMambaError:
    where = f"'{error.filename}'" if error.filename else "A file"
    return InvalidRequestError(
        f"{where} cannot be used: {error.strerror or error}.",
        hint="Check the path, its permissions and the free space on its disk.",
    )


def _too_little_memory(error: MemoryError) -> CryoMambaError:
    wanted = f" ({error})" if str(error) else ""
    return JobFailedError(
        f"This computer does not have enough memory{wanted}.",
        code=ErrorCode.OUT_OF_MEMORY,
        hint="Close other programs, or choose a smaller volume.",
    )


def _defect(error: Exception) -> CryoMambaError:
    return InternalError(
        f"Unexpected error: {type(error).__name__}: {error}",
        hint="This is a defect in CryoMamba. Run the command again with CRYOMAMBA_LOG=debug and report the traceback.",
    )


def _close_quietly() -> None:
    """Discard buffered output; otherwise the interpreter reports the closed pipe when it exits."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
