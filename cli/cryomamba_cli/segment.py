"""``segment``: make masks of tomograms, on this machine or on a server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryomamba.errors import ConflictError, InvalidRequestError
from cryomamba.output_paths import require_outputs
from cryomamba_cli import output
from cryomamba_cli.copick_input import is_reference, local_volume
from cryomamba_cli.engines import choose, offered
from cryomamba_cli.local_run import run_locally
from cryomamba_cli.options import Force, Json, Parameters, Slots, VoxelSize, voxel_size
from cryomamba_cli.output_format import as_mrc, converted, folder_of, mask_target, written
from cryomamba_cli.parameters import parse
from cryomamba_cli.remote_run import run_on_server
from cryomamba_cli.reporter import Reporter, finding_lines, label_lines, stderr_reporter
from cryomamba_cli.segment_batch import batch_of, names_of, print_plans, require_names, run_batch
from cryomamba_cli.segment_options import (
    ComputeServer,
    Dask,
    DaskVolume,
    DryRun,
    EngineName,
    Formats,
    JobName,
    JobPriority,
    ListFile,
    Model,
    Nifti,
    Nrrd,
    OnlyFailed,
    Out,
    OutDir,
    Pictures,
    SaveModel,
    Scores,
    Strokes,
    Tomograms,
    Within,
)
from cryomamba_cli.segmentation_task import Task, convert_mask, model_paths
from cryomamba_cli.signals import Interrupts, interruptible
from cryomamba_cli.task_template import TaskTemplate

if TYPE_CHECKING:
    from cryomamba.engines.info import EngineInfo


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
    dask: Dask = None,
    dask_volume: DaskVolume = None,
    name: JobName = "",
    priority: JobPriority = "normal",
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
    if server is not None and dask is not None:
        raise InvalidRequestError(
            "--server and --dask exclude each other.",
            hint="The server itself computes on a Dask cluster if it is started with CRYOMAMBA_DASK.",
        )
    if dask_volume is not None and (dask is None or out_dir is not None):
        raise InvalidRequestError(
            "--dask-volume is the address of a single tomogram on a Dask cluster.",
            hint="Give --dask, too, and not --out-dir.",
        )
    info = choose(offered(server, engine or ""), engine)
    params = parse(param or (), info.parameters, owner=info.name)
    params |= learned_parameters(info, strokes, model, save_model, several=out_dir is not None)
    size_A, wanted = voxel_size(size), tuple(formats or ())
    if server is None and priority != "normal":
        raise InvalidRequestError(
            "--priority is for jobs on a server.", hint="Give its address with --server, or leave --priority out."
        )
    template = TaskTemplate(info, params, size_A, within, name, nifti, nrrd, scores, wanted, save_model, priority)
    template.require_formats()
    names = names_of(tomogram, list_file)
    if out_dir is None:
        if list_file is not None or only_failed:
            raise InvalidRequestError(
                "--list and --only-failed are for several tomograms.", hint="Give a folder with --out-dir."
            )
        with local_volume(_single(names), "tomogram") as path:
            _segment_one(template, path, out, server, (dask, dask_volume), dry_run=dry_run, force=force, json=json)
        return
    if out is not None:
        raise InvalidRequestError("--out is for one mask, --out-dir for several.", hint="Give one of them.")
    batch = batch_of(template, names, out_dir, only_failed=only_failed, force=force)
    if dry_run:
        print_plans(batch, server=server is not None, json=json)
    elif batch.tasks:
        run_batch(batch, server, dask, slots=slots, pictures=pictures, json=json)
    else:
        output.note("No tomogram failed in an earlier run; there is nothing to do.")


def learned_parameters(
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
        raise InvalidRequestError(
            "--save-model saves the classifier that was trained on strokes.", hint="Give --strokes too."
        )
    if strokes is not None and several:
        raise InvalidRequestError(
            "Strokes belong to one tomogram.",
            hint="Run it on that one with --save-model FOLDER, then on the others with --model FOLDER.",
        )
    learned: dict[str, Any] = {} if strokes is None else {"strokes": load_strokes(strokes).model_dump(mode="json")}
    return learned if model is None else {**learned, "model": model}


def _single(tomograms: Sequence[str]) -> Path:
    from cryomamba_cli.batch.tomogram_list import is_folder_of_tomograms

    path = Path(require_names(tomograms)[0])
    if len(tomograms) == 1 and is_reference(path):
        return path
    if (
        len(tomograms) > 1
        or is_folder_of_tomograms(path)
        or (any(sign in path.name for sign in "*?[") and not path.exists())
    ):
        raise InvalidRequestError(
            "Several tomograms need a folder for their masks.", hint="Give a folder with --out-dir."
        )
    return path


def _segment_one(
    template: TaskTemplate,
    tomogram: Path,
    out: str | None,
    server: str | None,
    dask: tuple[str | None, str | None],
    *,
    dry_run: bool,
    force: bool,
    json: bool,
) -> None:
    target = mask_target(tomogram, out, template.info.name)
    task = template.task(tomogram, as_mrc(target))
    files = written(task, target)
    folder = folder_of(out, target)
    if dry_run:
        _print_plan(task, files, server, force=force, json=json)
        return
    require_outputs(files, inputs=task.inputs, replace=force, folder=folder)
    if task.model is not None:
        require_outputs(model_paths(task.model).values(), inputs=task.inputs, replace=force, folder=task.model)
    with stderr_reporter(json=json) as display, interruptible() as interrupts, converted(task, target) as run:
        statistics = _run(run, server, dask, display, interrupts)
    print_saved(files, statistics, json=json)


def _print_plan(task: Task, files: Sequence[Path], server: str | None, *, force: bool, json: bool) -> None:
    """Check what can be checked without reading voxels, and print what would be done."""
    from cryomamba_cli.batch.inspection import inspect_files

    if server is None or task.tomogram.exists():
        error = inspect_files([task.tomogram]).error
        if error is not None:
            raise error
    existing = [] if force else [path for path in files if os.path.lexists(path)]
    if existing:
        raise ConflictError(
            f"'{existing[0]}' already exists.", hint="Choose another name, or overwrite it with --force."
        )
    if json:
        fields = {"tomogram": str(task.tomogram), "engine": task.engine, "params": dict(task.params)}
        output.document({**fields, "server": server, "files": [str(path) for path in files]})
        return
    output.say(f"{task.tomogram}: segment with '{task.engine}' on {server or 'this machine'}")
    for name, value in task.params.items():
        output.say(f"  {name} = {value}")
    for path in files:
        output.say(f"  writes {path}")
    output.note("Nothing was written.")


def print_saved(files: Sequence[Path], statistics: dict[str, Any], *, json: bool) -> None:
    """Print the statistics of a mask, and the files that were written."""
    if json:
        data = {"files": [str(path) for path in files], "statistics": statistics}
        output.line({"type": "saved", "job_id": None, "data": data})
        return
    for line in (*label_lines(statistics), *finding_lines(statistics)):
        output.note(line)
    for file in files:
        output.say(str(file))


def _run(
    task: Task, server: str | None, dask: tuple[str | None, str | None], display: Reporter, interrupts: Interrupts
) -> dict[str, Any]:
    if server is None:
        scheduler, volume = dask
        statistics = run_locally(task, display, interrupts, dask=scheduler, dask_volume=volume)
    else:
        statistics = run_on_server(task, server, display, interrupts)
    convert_mask(task)
    return statistics
