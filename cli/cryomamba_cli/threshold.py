"""``threshold``: the scores of a finished job, cut anew without running its engine again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cryomamba_cli import output
from cryomamba_cli.jobs import resolve
from cryomamba_cli.masks import MinVolume
from cryomamba_cli.naming import mask_path, require_free
from cryomamba_cli.options import Force, Json, Server
from cryomamba_cli.reporter import stderr_reporter
from cryomamba_cli.signals import interruptible
from cryomamba_cli.work import Work, exports, follow_and_fetch, label_lines, run_here

_HIGHEST: Final = 255


def threshold(
    source: Annotated[
        str, typer.Argument(metavar="SCORES.mrc|JOB", help="A file of scores (0 to 255), or a finished job's id.")
    ],
    high: Annotated[
        int, typer.Option("--high", min=1, max=_HIGHEST, help="Score that a connected piece must reach somewhere.")
    ],
    low: Annotated[
        int | None,
        typer.Option("--low", min=1, max=_HIGHEST, help="Score of every voxel of a piece; --high if not given."),
    ] = None,
    min_volume: MinVolume = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The mask; <scores>__threshold<high>.mrc here if not given.")
    ] = None,
    server: Server = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Move the threshold on kept scores. A file is cut in this process, a job's scores on its server.

    Where the engine has found places, and kept its candidates beside the scores, a table of those above comes along.
    """
    from cryomamba.engines.artifacts import CANDIDATES, candidates_path
    from cryomamba.models.jobs import RETHRESHOLD

    path = Path(source)
    target = mask_path(path, out, f"threshold{high}")
    table = exports(target, nifti=False, nrrd=False, scores=False, picks=True)
    for file in (target, *table.values()):
        require_free(file, force=force)
    params: dict[str, Any] = {"high": high, "min_volume_nm3": min_volume or 0.0}
    if low is not None:
        params["low"] = low
    work = Work(path, target, RETHRESHOLD, params, voxel_size_A=None, name="", exports={})
    display = stderr_reporter(json=json)
    try:
        with interruptible() as interrupts:
            if path.is_file():
                work = replace(work, exports=table if candidates_path(path).is_file() else {})
                statistics = run_here(work, display, interrupts)
            else:
                import cryomamba

                with cryomamba.connect(server) as client:
                    job_id = resolve(client, source)
                    with interrupts.held():
                        work = replace(work, exports=table if client.record(job_id).has(CANDIDATES.name) else {})
                        record = client.threshold(job_id, high, low=low, min_volume_nm3=min_volume or 0.0)
                    statistics = follow_and_fetch(client, record.job_id, work, display, interrupts)
    finally:
        display.close()
    if json:
        files = [str(file) for file in work.files]
        output.line({"type": "saved", "job_id": None, "data": {"files": files, "statistics": statistics}})
        return
    for line in label_lines(statistics):
        output.note(line)
    for file in work.files:
        output.say(str(file))
