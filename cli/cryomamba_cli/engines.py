"""``engines``: which methods there are and what can be set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cryomamba_cli import output
from cryomamba_cli.options import Json

if TYPE_CHECKING:
    from cryomamba.engines.info import EngineInfo


def engines(
    name: Annotated[str | None, typer.Argument(help="Only this engine, with its parameters.")] = None,
    server: Annotated[
        str | None,
        typer.Option("--server", "-s", metavar="URL", help="Ask a server; without it, what this machine can run."),
    ] = None,
    json: Json = False,
) -> None:
    """List the segmentation methods, or the parameters of one."""
    found = offered(server)
    if name is None:
        if json:
            output.document(found)
        else:
            output.table(("ENGINE", "WHAT IT DOES", ""), [_row(info) for info in found])
            output.note("'cryomamba engines NAME' lists the parameters of one.")
        return
    info = choose(found, name)
    if json:
        output.document(info)
    else:
        _show(info)


def offered(server: str | None) -> Sequence[EngineInfo]:
    """Return the engines of a server, or of this environment."""
    if server is not None:
        import cryomamba

        with cryomamba.connect(server) as client:
            return client.info().engines
    from cryomamba.engines.registry import Registry

    return Registry.discover().infos()


def choose(found: Sequence[EngineInfo], name: str | None) -> EngineInfo:
    """Return the engine of that name, the default one for None.

    Raises
    ------
    InvalidRequestError
        There is no such engine; the hint lists those that there are.
    """
    from cryomamba.engines.registry import unknown_engine

    for info in found:
        if info.name == name or (name is None and info.default):
            return info
    raise unknown_engine(name or "(default)", [info.name for info in found])


def _row(info: EngineInfo) -> tuple[str, str, str]:
    remarks = [word for word, true in (("default", info.default), ("cannot run here", not info.available)) if true]
    return info.name, info.summary or info.reason, ", ".join(remarks)


def _show(info: EngineInfo) -> None:
    from cryomamba_cli.parameters import describe

    output.say(f"{info.name}: {info.summary}")
    if not info.available:
        output.say(f"It cannot run here: {info.reason} {info.hint}".rstrip())
    parameters = describe(info.parameters)
    if not parameters:
        output.say("It has no parameters.")
        return
    output.say("")
    rows = [(one.name, one.default, one.unit, one.kind, one.bounds, one.description) for one in parameters]
    output.table(("PARAMETER", "DEFAULT", "UNIT", "TYPE", "BOUNDS", "WHAT IT IS"), rows)
    output.note(f"For example: cryomamba segment IN.mrc -e {info.name} -p {rows[0][0]}={rows[0][1]}")
