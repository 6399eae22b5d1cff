"""``segment``: a tomogram becomes a mask, in this process or on a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryomamba.cli import output
from cryomamba.cli.engines import choose, offered
from cryomamba.cli.naming import mask_path, require_free
from cryomamba.cli.options import Force, Json, Parameters, VoxelSize, voxel_size
from cryomamba.cli.parameters import parse
from cryomamba.cli.reporter import stderr_reporter
from cryomamba.cli.signals import interruptible
from cryomamba.cli.work import Work, exports, label_lines, run_here, run_there


def segment(
    tomogram: Annotated[Path, typer.Argument(metavar="IN.mrc", help="The tomogram.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The mask, or a folder for it; <tomogram>__<engine>.mrc here if not given."),
    ] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", "-e", help="The method; 'cryomamba engines' lists them.")
    ] = None,
    param: Parameters = None,
    size: VoxelSize = None,
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            "-s",
            metavar="URL",
            help="Let a server do it; where it cannot see the file, the file is sent.",
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="A label for the job on the server.")] = "",
    nifti: Annotated[bool, typer.Option("--nifti", help="Write the mask as NIfTI as well.")] = False,
    nrrd: Annotated[bool, typer.Option("--nrrd", help="Write the mask as NRRD as well.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Segment a tomogram. Without --server it runs in this process, and no service is needed.

    Ctrl-C cancels the job and leaves nothing behind.
    """
    info = choose(offered(server), engine)
    target = mask_path(tomogram, out, info.name)
    work = Work(
        tomogram=tomogram,
        target=target,
        engine=info.name,
        params=parse(param or (), info.parameters, owner=info.name),
        voxel_size_A=voxel_size(size),
        name=name,
        exports=exports(target, nifti=nifti, nrrd=nrrd),
    )
    files = (target, *work.exports.values())
    for path in files:
        require_free(path, force=force)
    display = stderr_reporter(json=json)
    try:
        with interruptible() as interrupts:
            if server is None:
                statistics = run_here(work, display, interrupts)
            else:
                statistics = run_there(work, server, display, interrupts)
    finally:
        display.close()
    if json:
        saved = {"files": [str(path) for path in files], "statistics": statistics}
        output.line({"type": "saved", "job_id": None, "data": saved})
        return
    for line in label_lines(statistics):
        output.note(line)
    for path in files:
        output.say(str(path))
