"""``watch-folder``: segment tomograms as they appear in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryomamba.errors import InvalidRequestError, JobFailedError
from cryomamba.geometry import Spacing
from cryomamba.output_paths import require_outputs
from cryomamba_cli import output
from cryomamba_cli.batch.folder_scan import FolderScanner
from cryomamba_cli.batch.loop import Options
from cryomamba_cli.batch.report import REPORT, SUMMARY
from cryomamba_cli.batch.run_session import print_counts, run_session
from cryomamba_cli.batch.session import Session
from cryomamba_cli.batch.watched_folder import Planner, WatchedFolder
from cryomamba_cli.engines import choose, offered
from cryomamba_cli.options import Json, Parameters, Slots, VoxelSize, voxel_size
from cryomamba_cli.parameters import parse
from cryomamba_cli.result_paths import result_path
from cryomamba_cli.segmentation_task import Task, conversion_paths, export_paths, require_formats

if TYPE_CHECKING:
    from cryomamba.engines.info import EngineInfo

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder in which tomograms appear, also in its subfolders.")
]
OutDir = Annotated[
    Path | None,
    typer.Option(
        "--out-dir", "-o", help="Folder for the results, with the same subfolders; beside the tomograms if not given."
    ),
]
EngineName = Annotated[
    str | None, typer.Option("--engine", "-e", help="Segmentation engine; 'cryomamba engines' lists them.")
]
ComputeServer = Annotated[
    str | None, typer.Option("--server", "-s", metavar="URL", help="Segment on this server instead of this machine.")
]
Scores = Annotated[bool, typer.Option("--scores", help="Also write the score map, for 'cryomamba threshold'.")]
Formats = Annotated[
    list[str] | None,
    typer.Option("--format", metavar="EXTENSION", help="Also write results in this format; as for 'segment'."),
]
Poll = Annotated[
    float, typer.Option("--poll", min=0.05, metavar="SECONDS", help="Time between two looks at the folder.")
]
Stable = Annotated[
    float,
    typer.Option(
        "--stable",
        min=0.0,
        metavar="SECONDS",
        help="How long a file must not have changed before it is taken as complete. Its header must also describe as "
        "many voxels as it has. A file that was renamed into place is taken at once.",
    ),
]
Stalled = Annotated[
    float,
    typer.Option(
        "--stalled",
        min=0.0,
        metavar="SECONDS",
        help="After how long without a change a file that is incomplete or no tomogram is reported as failed.",
    ),
]
Once = Annotated[
    bool, typer.Option("--once", help="End when all tomograms that are there are done, for example for cron.")
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Try again what failed in an earlier run, although it has not changed.")
]
Pictures = Annotated[
    bool, typer.Option("--pictures/--no-pictures", help="Draw a picture and a short movie of each mask.")
]


def watch_folder(
    folder: Folder,
    out_dir: OutDir = None,
    engine: EngineName = None,
    param: Parameters = None,
    size: VoxelSize = None,
    server: ComputeServer = None,
    slots: Slots = None,
    scores: Scores = False,
    formats: Formats = None,
    pictures: Pictures = True,
    poll: Poll = 2.0,
    stable: Stable = 10.0,
    stalled: Stalled = 600.0,
    once: Once = False,
    retry_failed: RetryFailed = False,
    json: Json = False,
) -> None:
    """Segment tomograms as they appear in a folder, until Ctrl-C or SIGTERM.

    The folder is listed again and again, so this also works on network file systems. Tomograms that were segmented
    before with the same content and parameters are skipped, so the command can be stopped, killed and started again at
    any time. Results appear under their names when they are complete; report.html and summary.csv list all tomograms.
    """
    require_folder(folder)
    results = out_dir or folder
    require_outputs([results / SUMMARY, results / REPORT], replace=True, folder=results)
    info = choose(offered(server), engine)
    maker = TaskMaker(
        info,
        parse(param or (), info.parameters, owner=info.name),
        voxel_size(size),
        scores=scores,
        formats=tuple(formats or ()),
    )
    scanner = FolderScanner(folder, None if out_dir is None else out_dir, _report_unreadable)
    watched = WatchedFolder(scanner, folder, stable)
    session = Session(stable_s=stable, stalled_s=stalled)
    run_session(
        session,
        watched.look,
        Planner(folder, results, maker.make).plan,
        results,
        Options(poll_s=poll, once=once, watched=True, retry_failed=retry_failed, pictures=pictures),
        server=server,
        slots=slots,
        tomograms=None,
        title=f"Tomograms in {folder.absolute().name}",
        json=json,
        began=lambda count: output.note(
            f"Watching '{folder}': {count} at a time with {info.name}, results in '{results}'. Ctrl-C ends it."
        ),
    )
    failed = print_counts(session, results, json=json)
    if failed:
        raise JobFailedError(
            f"{failed} of {len(session)} tomograms failed.", hint=f"See '{results / REPORT}' for the reasons."
        )


def require_folder(folder: Path) -> None:
    """Refuse a folder that does not exist.

    Raises
    ------
    InvalidRequestError
    """
    if not folder.is_dir():
        raise InvalidRequestError(
            f"'{folder}' is not a folder.",
            hint="Give the folder into which tomograms are written; create it if needed.",
        )


def _report_unreadable(folder: Path, error: OSError) -> None:
    output.note(f"'{folder}' cannot be listed: {error.strerror}; its tomograms are left out.")


class TaskMaker:
    """Makes the tasks of tomograms.

    Parameters
    ----------
    info : EngineInfo
    params : dict
        Parameters of the engine.
    size : tuple of float or None
        Å along z, y, x, in place of the header's.
    scores : bool
        Whether to write the score map.
    formats : tuple of str
        Further formats of the results.
    """

    def __init__(
        self, info: EngineInfo, params: dict[str, Any], size: Spacing | None, *, scores: bool, formats: tuple[str, ...]
    ) -> None:
        from cryomamba.engines.artifacts import requested_formats

        self._info, self._params, self._size = info, params, size
        self._scores, self._formats = scores, formats
        self._requested = requested_formats(info.parameters, params)
        require_formats(formats, picks=info.picks is not None or "csv" in self._requested)

    def make(self, tomogram: Path, place: Path) -> tuple[Task, Mapping[str, Any]]:
        """Return the task of a tomogram and the schema of the engine's parameters.

        Parameters
        ----------
        tomogram : Path
        place : Path
            The path that it would have among the results.
        """
        mask = result_path(place, self._info.name)
        exports = export_paths(
            mask,
            scores=self._scores,
            picks=self._info.picks is not None,
            requested=self._requested,
            formats=self._formats,
        )
        conversions = conversion_paths(mask, self._formats)
        task = Task(tomogram, mask, self._info.name, self._params, self._size, None, "", exports, conversions)
        return task, self._info.parameters
