"""``engines``: the segmentation engines and their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cryomamba_cli import output
from cryomamba_cli.options import Json

if TYPE_CHECKING:
    from cryomamba.engines.info import EngineInfo


def engines(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show the parameters of this engine.")] = None,
    server: Annotated[
        str | None,
        typer.Option(
            "--server", "-s", metavar="URL", help="List the engines of this server instead of those of this machine."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List the segmentation engines, or the parameters of one."""
    found = offered(server)
    if name is None:
        if json:
            output.document(found)
        else:
            output.table(("ENGINE", "DESCRIPTION", ""), [_row(info) for info in found])
            for hint, names in _missing(found).items():
                output.note(f"Missing for {', '.join(names)}: {hint}")
            output.note("'cryomamba engines NAME' lists the parameters of an engine.")
        return
    info = choose(found, name)
    if json:
        output.document(info)
    else:
        _show(info)


def offered(server: str | None, only: str | None = None) -> Sequence[EngineInfo]:
    """Return the engines of a server, or of this environment for None; of this, `only` one, the default one for ''."""
    if server is not None:
        import cryomamba

        with cryomamba.connect(server) as client:
            return client.info().engines
    from cryomamba.engines.registry import Registry

    return (Registry.discover() if only is None else Registry.discover_one(only or None)).infos()


def choose(found: Sequence[EngineInfo], name: str | None) -> EngineInfo:
    """Return the engine of that name, the default one for None.

    Raises
    ------
    InvalidRequestError
        There is no such engine; the hint lists the names.
    """
    from cryomamba.engines.registry import unknown_engine

    for info in found:
        if info.name == name or (name is None and info.default):
            return info
    raise unknown_engine(name or "(default)", [info.name for info in found])


def _row(info: EngineInfo) -> tuple[str, str, str]:
    remarks = [word for word, true in (("default", info.default), ("not available", not info.available)) if true]
    return info.name, info.summary or info.reason, ", ".join(remarks)


def _missing(found: Sequence[EngineInfo]) -> dict[str, list[str]]:
    """Return what to do for engines that are not available, with their names."""
    names: dict[str, list[str]] = {}
    for info in found:
        if not info.available and info.hint:
            names.setdefault(info.hint, []).append(info.name)
    return names


def _show(info: EngineInfo) -> None:
    from cryomamba_cli.parameters import describe

    output.say(f"{info.name}: {info.summary}".rstrip(": "))
    if info.package:
        output.say(f"From the package {info.package}.")
    if not info.available:
        output.say(f"Not available: {info.reason} {info.hint}".rstrip())
    parameters = describe(info.parameters)
    if not parameters:
        if info.available:
            output.say("It has no parameters.")
        return
    output.say("")
    rows = [(one.name, one.default, one.unit, one.kind, one.bounds, one.description) for one in parameters]
    output.table(("PARAMETER", "DEFAULT", "UNIT", "TYPE", "RANGE", "DESCRIPTION"), rows)
    output.note(f"Example: cryomamba segment IN.mrc -e {info.name} -p {rows[0][0]}={rows[0][1]}")
