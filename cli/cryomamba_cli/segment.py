"""``segment``: a tomogram becomes a mask, in this process or on a server; or many do, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryomamba.errors import InvalidRequestError, JobFailedError
from cryomamba_cli import output
from cryomamba_cli.batch import SUMMARY, Row, expand, run_batch, targets
from cryomamba_cli.engines import choose, offered
from cryomamba_cli.naming import mask_path, require_free
from cryomamba_cli.options import Force, Json, Parameters, VoxelSize, voxel_size
from cryomamba_cli.parameters import parse
from cryomamba_cli.reporter import Reporter, stderr_reporter
from cryomamba_cli.signals import Interrupts, interruptible
from cryomamba_cli.work import Work, conversions, convert, exports, label_lines, run_here, run_there

if TYPE_CHECKING:
    from cryomamba.engines.info import EngineInfo


Tomograms = Annotated[
    list[str], typer.Argument(metavar="IN.mrc…", help="The tomogram; or several, a folder, or a pattern in quotes.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="The mask, or a folder for it; <tomogram>__<engine>.mrc here if not given."),
]
OutDir = Annotated[
    Path | None,
    typer.Option("--out-dir", help="Folder for the masks of many tomograms, and for summary.csv; made if needed."),
]
EngineName = Annotated[str | None, typer.Option("--engine", "-e", help="The method; 'cryomamba engines' lists them.")]
ByServer = Annotated[
    str | None,
    typer.Option(
        "--server", "-s", metavar="URL", help="Let a server do it; where it cannot see the file, the file is sent."
    ),
]
JobName = Annotated[str, typer.Option("--name", help="A label for the job on the server.")]
Nifti = Annotated[bool, typer.Option("--nifti", help="Write the mask as NIfTI as well.")]
Nrrd = Annotated[bool, typer.Option("--nrrd", help="Write the mask as NRRD as well.")]
Scores = Annotated[bool, typer.Option("--scores", help="Write the scores as well, for 'cryomamba threshold'.")]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        metavar="ENDING",
        help="Convert the mask too: ome.zarr, tif, stl, obj …; picks: star, tbl. May be repeated.",
    ),
]


def segment(
    tomogram: Tomograms,
    out: Out = None,
    out_dir: OutDir = None,
    engine: EngineName = None,
    param: Parameters = None,
    size: VoxelSize = None,
    server: ByServer = None,
    name: JobName = "",
    nifti: Nifti = False,
    nrrd: Nrrd = False,
    scores: Scores = False,
    formats: Formats = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Segment tomograms. Without --server it runs in this process, and no service is needed.

    Ctrl-C cancels the job and leaves nothing behind. With --out-dir, tomograms that were done before with the same
    content and parameters are skipped, a failure does not stop the rest, and summary.csv tells of all.
    """
    from cryomamba.engines.artifacts import requested_formats

    info = choose(offered(server), engine)
    params = parse(param or (), info.parameters, owner=info.name)
    override = voxel_size(size)

    def make(path: Path, target: Path) -> Work:
        also = exports(
            target,
            nifti=nifti,
            nrrd=nrrd,
            scores=scores,
            picks=info.picks is not None,
            made=requested_formats(info.parameters, params),
            formats=formats or (),
        )
        return Work(path, target, info.name, params, override, name, also, conversions(target, formats or ()))

    if out_dir is None:
        path = _only(tomogram)
        _one(make(path, mask_path(path, out, info.name)), server, force=force, json=json)
        return
    if out is not None:
        raise InvalidRequestError("--out names one mask, --out-dir a folder.", hint="Give one of them.")
    places = targets(expand(tomogram), out_dir, info.name)
    out_dir.mkdir(parents=True, exist_ok=True)
    works = [make(path, target) for path, target in places.items()]
    _many(works, info, server, out_dir / SUMMARY, force=force, json=json)


def _only(tomograms: Sequence[str]) -> Path:
    path = Path(tomograms[0])
    if len(tomograms) > 1 or path.is_dir() or (any(sign in path.name for sign in "*?[") and not path.exists()):
        raise InvalidRequestError("Several tomograms need a folder for their masks.", hint="Name one with --out-dir.")
    return path


def _one(work: Work, server: str | None, *, force: bool, json: bool) -> None:
    for path in work.files:
        require_free(path, force=force)
    display = stderr_reporter(json=json)
    try:
        with interruptible() as interrupts:
            statistics = _run(work, server, display, interrupts)
    finally:
        display.close()
    if json:
        saved = {"files": [str(path) for path in work.files], "statistics": statistics}
        output.line({"type": "saved", "job_id": None, "data": saved})
        return
    for line in label_lines(statistics):
        output.note(line)
    for path in work.files:
        output.say(str(path))


def _run(work: Work, server: str | None, display: Reporter, interrupts: Interrupts) -> dict[str, Any]:
    statistics = run_here(work, display, interrupts) if server is None else run_there(work, server, display, interrupts)
    convert(work)
    return statistics


def _many(
    works: Sequence[Work], info: EngineInfo, server: str | None, summary: Path, *, force: bool, json: bool
) -> None:
    display = stderr_reporter(json=json)

    def tell(number: int, row: Row) -> None:
        if json:
            output.line({"type": "tomogram", "job_id": None, "data": _fields(number, len(works), row)})
        else:
            display.note(_told(number, len(works), row))

    try:
        with interruptible() as interrupts:
            rows = run_batch(
                works,
                info.parameters,
                lambda work: _run(work, server, display, interrupts),
                force=force,
                tell=tell,
                summary=summary,
            )
    finally:
        display.close()
    failed = sum(row.state == "failed" for row in rows)
    skipped = sum(row.state == "skipped" for row in rows)
    counts = {"done": len(rows) - failed - skipped, "skipped": skipped, "failed": failed}
    if json:
        output.line({"type": "summary", "job_id": None, "data": {**counts, "table": str(summary)}})
    else:
        output.note(", ".join(f"{count} {state}" for state, count in counts.items()))
        output.say(str(summary))
    if failed:
        raise JobFailedError(
            f"{failed} of {len(rows)} tomograms failed.",
            hint=f"'{summary}' says why; the same command tries them again.",
        )


def _told(number: int, total: int, row: Row) -> str:
    begun = f"[{number + 1}/{total}] {row.work.tomogram}"
    match row.state:
        case "waiting":
            return begun
        case "failed":
            return f"{begun}: failed: {row.error}"
        case "skipped":
            return f"{begun}: done before, skipped"
        case state:
            return f"{begun}: {state} in {output.seconds(row.seconds)}, {row.work.target}"


def _fields(number: int, total: int, row: Row) -> dict[str, Any]:
    return {
        "number": number + 1,
        "of": total,
        "tomogram": str(row.work.tomogram),
        "mask": str(row.work.target),
        "state": row.state,
        "seconds": round(row.seconds, 3),
        "labels": row.labels,
        "error": row.error,
    }
