"""Commands that are imported when they are called, so that the program's help and its version are shown at once.

What the list of commands shows, name, panel and summary, is in a table; a test compares it with the commands.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final

import typer
import typer.main
from typer.core import TyperCommand

from cryomamba_cli.error_boundary import Commands

if TYPE_CHECKING:
    from typer._click.core import Command, Context

_HELP: Final = "cryomamba_cli.help"


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A command, or a group of commands, of the program.

    Attributes
    ----------
    name, panel : str
    place : str
        ``module:attribute`` inside this package: of a function, or of the :class:`typer.Typer` of a group.
    summary : str
        First paragraph of its help.
    examples : tuple of str
    context : dict, optional
        Settings of the command's context.
    """

    name: str
    panel: str
    place: str
    summary: str
    examples: tuple[str, ...] = ()
    context: dict[str, Any] | None = None

    @property
    def listed(self) -> Command:
        """What stands for the command in the list of commands."""
        return TyperCommand(name=self.name, help=self.summary, rich_help_panel=self.panel)

    def load(self) -> Command:
        """Import and build the command."""
        module, _, attribute = self.place.partition(":")
        found = getattr(import_module(f"cryomamba_cli.{module}"), attribute)
        owner = typer.Typer(rich_markup_mode="rich", add_completion=False, pretty_exceptions_enable=False)
        # With a callback, the program is a group, however few commands it has.
        owner.callback()(lambda: None)
        if isinstance(found, typer.Typer):
            owner.add_typer(found, rich_help_panel=self.panel)
        else:
            lines = ["Examples:", *(f"  {example}" for example in self.examples)]
            # Brackets would be read as markup; an empty line keeps each example on its own line.
            epilog = "\n\n".join(lines).replace("[", r"\[") if self.examples else None
            owner.command(self.name, rich_help_panel=self.panel, epilog=epilog, context_settings=self.context)(found)
        group: Any = typer.main.get_command(owner)
        Commands.add_options_below(group)
        command: Command = group.commands[self.name]
        return command


class LazyCommands(MutableMapping[str, "Command"]):
    """The commands by name; each is loaded when it is asked for. For one thread."""

    def __init__(self, table: tuple[LazyCommand, ...]) -> None:
        self.table = {one.name: one for one in table}
        self._loaded: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._loaded:
            self._loaded[name] = self.table[name].load()
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self.table

    def __iter__(self) -> Iterator[str]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)

    def __setitem__(self, name: str, command: Command) -> None:
        raise TypeError("commands are added to the table")

    def __delitem__(self, name: str) -> None:
        raise TypeError("commands are removed from the table")


class Program(Commands):
    """The program: lists its commands from the table, and loads the one that is called."""

    table: ClassVar[tuple[LazyCommand, ...]] = ()

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401
        super().__init__(**attributes)
        self._lazy = LazyCommands(self.table)
        self.commands = self._lazy

    def list_commands(self, ctx: Context) -> list[str]:
        """Return the names in the order of the table."""
        del ctx
        return list(self._lazy)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Return what stands for a command in lists and completions."""
        del ctx
        one = self._lazy.table.get(cmd_name)
        return None if one is None else one.listed

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """Return the command that is called, loaded."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            command = self._lazy[name]
            own = rest[: rest.index("--")] if "--" in rest else rest
            ctx.meta[_HELP] = bool(set(own) & set(ctx.help_option_names))
        return name, command, rest


def shows_help(context: Context) -> bool:
    """Return whether the command that is called only shows its help."""
    return bool(context.meta.get(_HELP))
