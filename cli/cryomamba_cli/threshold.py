"""``threshold``: re-threshold an existing score map, without rerunning the engine."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cryomamba.output_paths import require_outputs
from cryomamba.printable import printable
from cryomamba_cli.jobs import resolve
from cryomamba_cli.local_run import run_locally
from cryomamba_cli.masks import MinVolume
from cryomamba_cli.options import Force, Json, Server
from cryomamba_cli.output_format import as_mrc, converted, folder_of, mask_target, written
from cryomamba_cli.remote_run import submit_and_download
from cryomamba_cli.reporter import stderr_reporter
from cryomamba_cli.segment import print_saved
from cryomamba_cli.segmentation_task import Task, convert_mask, export_paths
from cryomamba_cli.signals import interruptible

_HIGHEST: Final = 255


Source = Annotated[
    str,
    typer.Argument(metavar="SCORES.mrc|JOB", help="Score map (0 to 255), or the id of a completed job that has one."),
]
High = Annotated[
    int,
    typer.Option(
        "--high",
        min=1,
        max=_HIGHEST,
        help="Upper hysteresis threshold: the score that a component must reach in at least one voxel.",
    ),
]
Low = Annotated[
    int | None,
    typer.Option(
        "--low",
        min=1,
        max=_HIGHEST,
        help="Lower hysteresis threshold: the lowest score of a voxel in a component; --high if not given.",
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="PATH",
        help="Mask to write, in the format of the extension, or its folder; <scores>__threshold<high>.mrc in the "
        "current folder if not given.",
    ),
]


def threshold(
    source: Source,
    high: High,
    low: Low = None,
    min_volume: MinVolume = None,
    out: Out = None,
    server: Server = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Re-threshold a score map: a file on this machine, or that of a job on its server.

    If the engine also kept its candidate picks, a table of those above the threshold is written too.
    """
    from cryomamba.engines.artifacts import CANDIDATES, candidates_path
    from cryomamba.models.jobs import NAME_MAX, RETHRESHOLD

    path = Path(source)
    target = mask_target(path, out, f"threshold{high}")
    mask = as_mrc(target)
    picks = export_paths(mask, picks=True)
    folder = folder_of(out, target)
    require_outputs((target, *picks.values()), inputs=(path, candidates_path(path)), replace=force, folder=folder)
    params: dict[str, Any] = {"high": high, "min_volume_nm3": min_volume or 0.0}
    if low is not None:
        params["low"] = low
    task = Task(path, mask, RETHRESHOLD, params)
    with stderr_reporter(json=json) as display, interruptible() as interrupts:
        if path.is_file() or path.suffix:
            # A job id has no extension, so this is the name of a file, even if it does not exist.
            task = replace(task, exports=picks if candidates_path(path).is_file() else {})
            with converted(task, target) as run:
                statistics = run_locally(run, display, interrupts)
                convert_mask(run)
        else:
            import cryomamba

            with cryomamba.connect(server) as client:
                job_id = resolve(client, source)
                record = client.record(job_id)
                task = replace(task, exports=picks if record.has(CANDIDATES.name) else {})
                # As the desktop names it: the volume of the new job is only a score map.
                least = params["min_volume_nm3"]
                ending = f", threshold {high}"
                name = printable(record.name or record.volume.name)[: NAME_MAX - len(ending)] + ending
                submit = partial(client.threshold, job_id, high, low=low, min_volume_nm3=least, name=name)
                with converted(task, target) as run:
                    statistics = submit_and_download(client, submit, run, display, interrupts)
                    convert_mask(run)
    print_saved(written(task, target), statistics, json=json)
