"""``segment``: make masks of tomograms, on this machine or on a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryomamba.errors import InvalidRequestError, JobFailedError
from cryomamba.output_paths import names_folder, require_outputs
from cryomamba_cli import output
from cryomamba_cli.engines import choose, offered
from cryomamba_cli.local_run import run_locally
from cryomamba_cli.options import Force, Json, Parameters, Slots, VoxelSize, voxel_size
from cryomamba_cli.parameters import parse
from cryomamba_cli.remote_run import run_on_server
from cryomamba_cli.reporter import Reporter, finding_lines, label_lines, stderr_reporter
from cryomamba_cli.result_paths import mask_path
from cryomamba_cli.segmentation_task import (
    Task,
    conversion_paths,
    convert_mask,
    export_paths,
    model_paths,
    require_formats,
)
from cryomamba_cli.signals import Interrupts, interruptible

if TYPE_CHECKING:
    from cryomamba.engines.info import EngineInfo


Tomograms = Annotated[
    list[str] | None, typer.Argument(metavar="IN.mrc", help="Tomogram; or several, a folder, or a pattern in quotes.")
]
ListFile = Annotated[
    Path | None,
    typer.Option(
        "--list", metavar="FILE", help="Text file with a tomogram, folder or pattern in each line. Needs --out-dir."
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only print what --out-dir would do with each tomogram; nothing is written.")
]
OnlyFailed = Annotated[
    bool, typer.Option("--only-failed", help="With --out-dir: only tomograms that failed in an earlier run.")
]
Pictures = Annotated[
    bool,
    typer.Option("--pictures/--no-pictures", help="With --out-dir: draw a picture and a short movie of each mask."),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="PATH",
        help="Mask to write (MRC), or its folder (a name ending in / is one); <tomogram>__<engine>.mrc in the current "
        "folder if not given.",
    ),
]
OutDir = Annotated[
    Path | None,
    typer.Option("--out-dir", help="Folder for the masks of several tomograms and summary.csv; created if missing."),
]
EngineName = Annotated[
    str | None, typer.Option("--engine", "-e", help="Segmentation engine; 'cryomamba engines' lists them.")
]
Within = Annotated[
    Path | None,
    typer.Option(
        "--within",
        metavar="MASK.mrc",
        help="Segment and measure only where this mask is not 0, for example a lamella or a cell. It must have the "
        "shape and voxel size of the tomogram.",
    ),
]
ComputeServer = Annotated[
    str | None,
    typer.Option("--server", "-s", metavar="URL", help="Segment on this server; uploads files that it cannot read."),
]
JobName = Annotated[str, typer.Option("--name", help="Name of the job on the server, to tell it from others.")]
Nifti = Annotated[bool, typer.Option("--nifti", help="Also write the mask as NIfTI.")]
Nrrd = Annotated[bool, typer.Option("--nrrd", help="Also write the mask as NRRD.")]
Scores = Annotated[bool, typer.Option("--scores", help="Also write the score map, for 'cryomamba threshold'.")]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        metavar="EXTENSION",
        help="Also write the mask as ome.zarr, tif, stl or obj, or the picks as star or tbl. May be repeated.",
    ),
]


Strokes = Annotated[
    Path | None,
    typer.Option(
        "--strokes",
        metavar="FILE.json",
        help="What was painted on the tomogram: the engine 'pixels' learns from it. The desktop saves such files.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="Trained model to run: its name, or without --server its folder."),
]
SaveModel = Annotated[
    Path | None,
    typer.Option(
        "--save-model",
        metavar="FOLDER",
        help="Also keep the model that was trained on the strokes, for --model with the next tomogram.",
    ),
]


def segment(
    tomogram: Tomograms = None,
    out: Out = None,
    out_dir: OutDir = None,
    engine: EngineName = None,
    param: Parameters = None,
    size: VoxelSize = None,
    within: Within = None,
    strokes: Strokes = None,
    model: Model = None,
    save_model: SaveModel = None,
    server: ComputeServer = None,
    name: JobName = "",
    nifti: Nifti = False,
    nrrd: Nrrd = False,
    scores: Scores = False,
    formats: Formats = None,
    list_file: ListFile = None,
    slots: Slots = None,
    pictures: Pictures = True,
    dry_run: DryRun = False,
    only_failed: OnlyFailed = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Segment tomograms. Without --server this runs on this machine and needs no services.

    Ctrl-C cancels the job and leaves no unfinished files. With --out-dir, tomograms that were segmented before with the
    same content and parameters are skipped, a failure does not stop the rest, and report.html and summary.csv show all
    results.
    """
    # Not at the start: what a batch needs takes long to import.
    from cryomamba.engines.artifacts import requested_formats
    from cryomamba_cli.batch.tomogram_list import expand, has_failed, mask_paths, read_list, require_batch_outputs

    info = choose(offered(server), engine)
    params = parse(param or (), info.parameters, owner=info.name)
    params |= _learned(info, strokes, model, save_model, several=out_dir is not None)
    override = voxel_size(size)
    requested = requested_formats(info.parameters, params)
    require_formats(formats or (), picks=info.picks is not None or "csv" in requested)

    def make(path: Path, mask: Path) -> Task:
        exports = export_paths(
            mask,
            nifti=nifti,
            nrrd=nrrd,
            scores=scores,
            picks=info.picks is not None,
            requested=requested,
            formats=formats or (),
        )
        conversions = conversion_paths(mask, formats or ())
        return Task(path, mask, info.name, params, override, within, name, exports, conversions, save_model)

    named = [*(tomogram or ()), *([] if list_file is None else read_list(list_file))]
    if out_dir is None:
        if list_file is not None or dry_run or only_failed:
            raise InvalidRequestError(
                "--list, --dry-run and --only-failed are for several tomograms.", hint="Give a folder with --out-dir."
            )
        path = _single(named)
        task = make(path, mask_path(path, out, info.name))
        folder = task.mask.parent if out is not None and names_folder(out) else None
        require_outputs(task.files, inputs=task.inputs, replace=force, folder=folder)
        if save_model is not None:
            require_outputs(model_paths(save_model).values(), inputs=task.inputs, replace=force, folder=save_model)
        _run_one(task, server, json=json)
        return
    if out is not None:
        raise InvalidRequestError("--out is for one mask, --out-dir for several.", hint="Give one of them.")
    masks = mask_paths(expand(_required(named)), out_dir, info.name)
    tasks = [make(path, mask) for path, mask in masks.items() if not only_failed or has_failed(mask)]
    if dry_run:
        _print_plan(tasks, info, server, force=force, json=json)
        return
    if not tasks:
        output.note("No tomogram failed in an earlier run; there is nothing to do.")
        return
    require_batch_outputs(tasks, out_dir, force=force)
    _run_many(tasks, info, server, out_dir, slots=slots, pictures=pictures, force=force, json=json)


def _learned(
    info: EngineInfo, strokes: Path | None, model: str | None, save_model: Path | None, *, several: bool
) -> dict[str, Any]:
    """Return the parameters that say what an engine has learned from."""
    from cryomamba.masks.strokes import load_strokes

    for option, name in ((strokes, "strokes"), (model, "model")):
        if option is not None and name not in info.parameters.get("properties", {}):
            raise InvalidRequestError(
                f"The engine '{info.name}' takes no {name}.", hint="Leave it out, or choose another one with --engine."
            )
    if strokes is None and save_model is not None:
        raise InvalidRequestError("--save-model keeps what was learned from strokes.", hint="Give --strokes too.")
    if strokes is not None and several:
        raise InvalidRequestError(
            "Strokes belong to one tomogram.",
            hint="Run it on that one with --save-model FOLDER, then on the others with --model FOLDER.",
        )
    learned: dict[str, Any] = {} if strokes is None else {"strokes": load_strokes(strokes).model_dump(mode="json")}
    return learned if model is None else {**learned, "model": model}


def _required(tomograms: Sequence[str]) -> Sequence[str]:
    if not tomograms:
        raise InvalidRequestError(
            "No tomogram was given.", hint="Give a file, a folder, a pattern in quotes, or --list."
        )
    return tomograms


def _single(tomograms: Sequence[str]) -> Path:
    from cryomamba_cli.batch.tomogram_list import is_folder_of_tomograms

    path = Path(_required(tomograms)[0])
    if (
        len(tomograms) > 1
        or is_folder_of_tomograms(path)
        or (any(sign in path.name for sign in "*?[") and not path.exists())
    ):
        raise InvalidRequestError(
            "Several tomograms need a folder for their masks.", hint="Give a folder with --out-dir."
        )
    return path


def _run_one(task: Task, server: str | None, *, json: bool) -> None:
    with stderr_reporter(json=json) as display, interruptible() as interrupts:
        statistics = _run(task, server, display, interrupts)
    print_saved(task, statistics, json=json)


def print_saved(task: Task, statistics: dict[str, Any], *, json: bool) -> None:
    """Print the statistics of a mask, and the files that were written."""
    files = [str(path) for path in task.files]
    if json:
        output.line({"type": "saved", "job_id": None, "data": {"files": files, "statistics": statistics}})
        return
    for line in (*label_lines(statistics), *finding_lines(statistics)):
        output.note(line)
    for file in files:
        output.say(file)


def _run(task: Task, server: str | None, display: Reporter, interrupts: Interrupts) -> dict[str, Any]:
    if server is None:
        statistics = run_locally(task, display, interrupts)
    else:
        statistics = run_on_server(task, server, display, interrupts)
    convert_mask(task)
    return statistics


def _print_plan(tasks: Sequence[Task], info: EngineInfo, server: str | None, *, force: bool, json: bool) -> None:
    from cryomamba_cli.batch.record import recipe_of
    from cryomamba_cli.batch.tomogram_list import planned

    plans = [
        (task, planned(task, recipe_of(task, info.parameters), force=force, server=server is not None))
        for task in tasks
    ]
    if json:
        fields = [{"tomogram": str(task.tomogram), "mask": str(task.mask), "plan": plan} for task, plan in plans]
        output.document(fields)
        return
    output.table(("TOMOGRAM", "MASK", "PLAN"), [(str(task.tomogram), str(task.mask), plan) for task, plan in plans])
    output.note(f"{len(tasks)} tomograms with the engine '{info.name}'. Nothing was written.")


def _run_many(
    tasks: Sequence[Task],
    info: EngineInfo,
    server: str | None,
    out_dir: Path,
    *,
    slots: int | None,
    pictures: bool,
    force: bool,
    json: bool,
) -> None:
    from cryomamba_cli.batch.loop import Options, Plan
    from cryomamba_cli.batch.record import recipe_of
    from cryomamba_cli.batch.report import SUMMARY
    from cryomamba_cli.batch.run_session import print_counts, run_session
    from cryomamba_cli.batch.session import Session
    from cryomamba_cli.batch.tomogram_list import listed

    plans = {task.tomogram: Plan(task, recipe_of(task, info.parameters)) for task in tasks}
    found = listed(plans)
    session = run_session(
        Session(),
        lambda: found,
        plans.__getitem__,
        out_dir,
        Options(force=force, server=server is not None, pictures=pictures),
        server=server,
        slots=slots,
        tomograms=len(tasks),
        title=f"Segmentation with {info.name}",
        json=json,
    )
    failed = print_counts(session, out_dir, json=json)
    if failed:
        raise JobFailedError(
            f"{failed} of {len(session)} tomograms failed.",
            hint=f"See '{out_dir / SUMMARY}' for the reasons; run the same command again to retry.",
        )
