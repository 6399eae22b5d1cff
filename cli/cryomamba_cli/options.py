"""Options that several commands share, and how to parse them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cryomamba.errors import InvalidRequestError

if TYPE_CHECKING:
    from cryomamba.geometry import Spacing

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        "-s",
        metavar="URL",
        help="http://HOST:8000 for a gateway, tcp://HOST:5560 for a direct connection to a broker. "
        "If not given: CRYOMAMBA_SERVER, or the services on this machine.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite existing files.")]
Job = Annotated[str, typer.Argument(metavar="JOB", help="Job id, or its first characters.")]
Parameters = Annotated[
    list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="Set a parameter; may be repeated.")
]
VoxelSize = Annotated[
    str | None,
    typer.Option(
        "--voxel-size",
        metavar="Å",
        help="Voxel size in Å, instead of that in the header: one number, or three as z,y,x.",
    ),
]

Slots = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        max=256,
        metavar="N",
        help="Tomograms at once. If not given: as many as cores and memory allow, or 4 with --server.",
    ),
]


def numbers(text: str, *, option: str) -> tuple[float, float, float]:
    """Parse one number for all axes, or three as ``z,y,x``.

    Raises
    ------
    InvalidRequestError
        The text is something else, or a number is not above 0.
    """
    try:
        parts = [float(part) for part in text.replace("x", ",").split(",")]
    except ValueError:
        parts = []
    if len(parts) not in {1, 3} or not all(0 < part < float("inf") for part in parts):
        raise InvalidRequestError(
            f"Invalid value '{text}' for {option}.",
            hint="Give one number above 0, or three separated by commas (z,y,x).",
        )
    z, y, x = parts * 3 if len(parts) == 1 else parts
    return z, y, x


def shape(text: str, *, option: str = "--shape") -> tuple[int, int, int]:
    """Parse one number of voxels for all axes, or three as ``z,y,x``."""
    z, y, x = numbers(text, option=option)
    if any(side != int(side) for side in (z, y, x)):
        raise InvalidRequestError(
            f"Invalid value '{text}' for {option}.", hint="The numbers of voxels must be whole numbers."
        )
    return int(z), int(y), int(x)


def voxel_size(text: str | None) -> Spacing | None:
    """Parse ``--voxel-size``."""
    return None if text is None else numbers(text, option="--voxel-size")
