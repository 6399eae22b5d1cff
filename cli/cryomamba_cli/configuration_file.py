"""The configuration file: settings, and defaults for the options of commands.

``cryomamba.toml`` is read from the user's configuration folder and from the current folder, which has precedence. An
option has precedence over an environment variable, and that over the file.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryomamba.errors import InvalidRequestError
from cryomamba.suggestions import did_you_mean

if TYPE_CHECKING:
    from typer._click.core import Command
    from typer.core import TyperOption

FILE_NAME: Final = "cryomamba.toml"
VARIABLE: Final = "CRYOMAMBA_CONFIG"
"""Environment variable with the path of the only file to read; empty for none."""

_PREFIX: Final = "CRYOMAMBA_"
_SERVER: Final = "server"
_TOKEN: Final = "token"  # noqa: S105 (a name)  # nosec B105
_FOLDER_LISTS: Final = frozenset({"roots", "models"})
_NOT_SETTABLE: Final = frozenset({"help", "quiet", "verbose"})


@dataclass(frozen=True, slots=True)
class Defaults:
    """What configuration files set.

    Attributes
    ----------
    files : tuple of Path
        Those that were read, that with precedence last.
    variables : mapping of str to str
        Environment variables with their values.
    options : mapping
        Options of each command by its name, in which groups of commands are mappings again.
    sources : mapping of str to Path
        The file of each setting and option, by ``name`` or ``command.name``.
    """

    files: tuple[Path, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, Path] = field(default_factory=dict)


applied: ContextVar[Defaults] = ContextVar("applied", default=Defaults())  # noqa: B039 (immutable)
"""The defaults of the running command."""


def user_file() -> Path:
    """Return the path of the file in the user's configuration folder."""
    from platformdirs import user_config_path

    return user_config_path("cryomamba") / FILE_NAME


def candidates() -> tuple[Path, ...]:
    """Return the paths at which a file may be, that with precedence last."""
    chosen = os.environ.get(VARIABLE)
    if chosen is not None:
        return (Path(chosen).expanduser(),) if chosen else ()
    return user_file(), Path.cwd() / FILE_NAME


def read_defaults(group: Command) -> Defaults:
    """Read the configuration files.

    Parameters
    ----------
    group : Command
        The program, for the names of its commands and options.

    Raises
    ------
    InvalidRequestError
        A file cannot be read, is not TOML, belongs to another user, or has an unknown key.
    """
    files: list[Path] = []
    variables: dict[str, str] = {}
    options: dict[str, Any] = {}
    sources: dict[str, Path] = {}
    for path in candidates():
        if not path.is_file():
            if VARIABLE in os.environ:
                raise InvalidRequestError(f"There is no file '{path}'.", hint=f"Correct or remove {VARIABLE}.")
            continue
        files.append(path)
        for name, value in _read(path).items():
            if isinstance(value, dict):
                found = _options(path, group, name, value)
                options[name] = _merged(options.get(name, {}), found)
                sources |= dict.fromkeys(_flat(name, found), path)
            else:
                variables[_variable(path, group, name)] = _text(name, value)
                sources[name] = path
    return Defaults(tuple(files), variables, options, sources)


def _read(path: Path) -> dict[str, Any]:
    if sys.platform != "win32" and path.stat().st_uid not in {os.getuid(), 0}:
        # It could name a server, which would then be sent this user's token.
        raise InvalidRequestError(
            f"'{path}' belongs to another user, so it is not read.",
            hint=f"Run the command in another folder, or choose a file with {VARIABLE} ({VARIABLE}= for none).",
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequestError(f"'{path}' cannot be read: {error}.", hint="Correct or remove the file.") from None
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(
            f"'{path}' is not valid TOML: {error}.", hint='Write lines such as: server = "http://lab:8000"'
        ) from None


def _variable(path: Path, group: Command, name: str) -> str:
    """Return the environment variable of a setting."""
    from cryomamba.settings import Settings

    known = (*Settings.model_fields, _SERVER)
    if name == _TOKEN:
        raise InvalidRequestError(
            f"'{path}' contains a token, which others could read there.",
            hint="Set CRYOMAMBA_TOKEN in the environment instead.",
        )
    if name in known:
        return f"{_PREFIX}{name.upper()}"
    with_it = [one for one, command in _commands(group).items() if name in _settable(command)]
    raise InvalidRequestError(
        f"'{path}' has an unknown setting '{name}'.",
        hint=f"It is an option: write it below [{with_it[0]}], for example."
        if with_it
        else f"{did_you_mean(name, known)}The settings are listed in docs/reference/configuration.md.",
    )


def _text(name: str, value: object) -> str:
    """Return a value as an environment variable has it."""
    if isinstance(value, list):
        return (os.pathsep if name in _FOLDER_LISTS else ",").join(str(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _options(path: Path, group: Command, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a command by their names as parameters; of a group of commands by command."""
    commands = _commands(group)
    if name not in commands:
        raise InvalidRequestError(
            f"'{path}' has a section [{name}], but there is no such command.",
            hint=f"{did_you_mean(name, commands)}'cryomamba --help' lists the commands.",
        )
    command = commands[name]
    if _commands(command):
        return {one: _options(path, command, one, value) for one, value in _tables(path, name, values)}
    known = _settable(command)
    found = {}
    for option, value in values.items():
        if option not in known:
            raise InvalidRequestError(
                f"'{path}' has an unknown option '{option}' in [{name}].",
                hint=f"{did_you_mean(option, known)}'cryomamba {name} --help' lists the options.",
            )
        one = known[option]
        found[one.name] = value if isinstance(value, list) or not one.multiple else [value]
    return found


def _tables(path: Path, name: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for one, value in values.items():
        if not isinstance(value, dict):
            raise InvalidRequestError(
                f"'{path}' has '{one}' in [{name}], which is a group of commands.",
                hint=f"Write it below [{name}.COMMAND]; 'cryomamba {name} --help' lists the commands.",
            )
        yield one, value


def _commands(command: Command) -> Mapping[str, Command]:
    return getattr(command, "commands", {})


def _settable(command: Command) -> dict[str, TyperOption]:
    """Return the options of a command by their long names, without dashes."""
    return {
        text.removeprefix("--"): one  # type: ignore[misc] # arguments have no such names
        for one in command.params
        if one.param_type_name == "option" and one.name not in _NOT_SETTABLE
        for text in one.opts
        if text.startswith("--")
    }


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(first)
    for name, value in second.items():
        merged[name] = _merged(merged.get(name, {}), value) if isinstance(value, dict) else value
    return merged


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterable[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}.{name}", value)
        else:
            yield f"{prefix}.{name}".replace("_", "-")
