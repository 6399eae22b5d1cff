"""The error boundary: every exception becomes a message, a hint and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from cryomamba.errors import CryoMambaError, ErrorCode, InternalError, InvalidRequestError, JobFailedError
from cryomamba.optional_imports import missing_package
from cryomamba_cli.configuration_file import applied, read_defaults
from cryomamba_cli.output import errors_as_json, note, print_error, trace
from cryomamba_cli.signals import Interrupted
from cryomamba_cli.verbosity import add_options, hide_logging
from cryomamba_server.exit_codes import ExitCode, exit_code

if TYPE_CHECKING:
    from typer._click.core import Command, Context


class Commands(TyperGroup):
    """A command group whose commands end with a documented exit code instead of a traceback."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401
        super().__init__(**attributes)
        self.add_options_below(self)

    @staticmethod
    def add_options_below(group: TyperGroup) -> None:
        """Give each command of a group the options that every command has."""
        for command in _commands_below(group):
            # The desktop has options of its own.
            if command.name != "desktop" and all(one.name != "quiet" for one in command.params):
                add_options(command)

    def main(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """Run the program; what its options set, such as ``--json``, ends with it, as a process may run it again."""
        before = dict(os.environ)
        try:
            return copy_context().run(super().main, *args, **options)
        finally:
            hide_logging()
            for name in os.environ.keys() - before.keys():
                del os.environ[name]

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
            if parent is None and "default_map" not in extra and not extra.get("resilient_parsing"):
                # The installation check reports a file that is not valid among its results.
                extra["default_map"] = self._file_defaults(refuse=args[:1] != ["doctor"])
            return super().make_context(info_name, args, parent, **extra)

    def get_params(self, ctx: Context) -> list[Any]:
        """Return the program's own options; flags without a default would have typer import pydantic."""
        found = super().get_params(ctx)
        for one in found:
            if one.name in {"help", "install_completion", "show_completion"}:
                one.default = False
        return found

    def _file_defaults(self, *, refuse: bool) -> Mapping[str, Any]:
        """Apply the configuration files: their settings to the environment; return their options of commands."""
        try:
            defaults = read_defaults(self)
        except CryoMambaError:
            if refuse:
                raise
            return {}
        applied.set(defaults)
        for name, value in defaults.variables.items():
            # An empty variable counts as not set, as for all settings.
            if not os.environ.get(name):
                os.environ[name] = value
        return defaults.options

    def invoke(self, ctx: Context) -> object:
        """Run the chosen command."""
        with exceptions_reported():
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


def _commands_below(group: TyperGroup) -> Iterator[Command]:
    for command in group.commands.values():
        if isinstance(command, TyperGroup):
            yield from _commands_below(command)
        else:
            yield command


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
        note("Interrupted. No incomplete files are left behind.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except BrokenPipeError:
        _close_quietly()
        raise typer.Exit(ExitCode.BROKEN_PIPE) from None
    except OSError as error:
        raise _failed(_os_error(error)) from None
    except MemoryError as error:
        raise _failed(_too_little_memory(error)) from None
    except typer.TyperException as error:
        if _asks_for_help(error):
            raise
        raise _failed(_usage_error(error)) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:  # noqa: BLE001 (the last resort: report a defect)
        raise _failed(_defect(error)) from None


def _failed(error: CryoMambaError) -> typer.Exit:
    trace()
    print_error(error)
    return typer.Exit(exit_code(error))


def _asks_for_help(error: typer.TyperException) -> bool:
    """Return whether a command was called without arguments, so its help is printed; typer exports no name for it."""
    return type(error).__name__ == "NoArgsIsHelpError"


def _usage_error(error: typer.TyperException) -> CryoMambaError:
    context = getattr(error, "ctx", None)
    command = "cryomamba" if context is None else context.command_path
    suggestion = ""
    similar = getattr(error, "possibilities", None)
    if similar:
        suggestion = f"Did you mean '{min(similar)}'? "
        # Otherwise they would be listed in the message too.
        error.possibilities = None  # type: ignore[attr-defined]
    return InvalidRequestError(_sentence(error.format_message()), hint=f"{suggestion}'{command} --help' explains it.")


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


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
    absent = missing_package(error) if isinstance(error, ImportError) else None
    if absent is not None:
        return absent
    return InternalError(
        f"Unexpected error: {type(error).__name__}: {error}",
        hint="This is a defect in CryoMamba. Run the command again with --verbose, and report the traceback.",
    )


def _close_quietly() -> None:
    """Discard buffered output; otherwise the interpreter reports the closed pipe when it exits."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
