"""Options of the commands that segment tomograms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryomamba_cli.segmentation_task import PriorityName

Tomograms = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="IN.mrc", help="Tomogram, or copick:CONFIG#RUN/TYPE@SPACING; or several, a folder, or a quoted pattern."
    ),
]
ListFile = Annotated[
    Path | None,
    typer.Option(
        "--list", metavar="FILE", help="Text file with a tomogram, folder or pattern in each line. Needs --out-dir."
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only print what would be done with each tomogram; nothing is written.")
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
        help="Mask to write, in the format of the extension (.mrc, .nii.gz, .nrrd, .tif, .ome.zarr, .stl, .obj), or "
        "its folder (a name ending in / is one); <tomogram>__<engine>.mrc in the current folder if not given.",
    ),
]
OutDir = Annotated[
    Path | None,
    typer.Option("--out-dir", help="Folder for the masks of several tomograms and summary.csv; created if missing."),
]


def complete_engine(incomplete: str) -> list[str]:
    """Return the names of the engines of this environment that begin so; for completion in shells."""
    from importlib.metadata import entry_points

    return [one.name for one in entry_points(group="cryomamba.engines") if one.name.startswith(incomplete)]


EngineName = Annotated[
    str | None,
    typer.Option(
        "--engine", "-e", help="Segmentation engine; 'cryomamba engines' lists them.", autocompletion=complete_engine
    ),
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
Dask = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="ADDRESS",
        help="Compute the tiles on the workers of this Dask scheduler, such as tcp://10.1.2.3:8786; or its scheduler "
        "file, or 'config' for the one in Dask's configuration. They must see the same files.",
    ),
]
DaskVolume = Annotated[
    str | None,
    typer.Option(
        "--dask-volume",
        metavar="URL",
        help="With --dask: where a gateway serves the tomogram, up to .ome.zarr, for workers that do not see its path; "
        "with the token in CRYOMAMBA_TOKEN, or as a link that needs none.",
    ),
]
JobName = Annotated[str, typer.Option("--name", help="Name of the job on the server, to tell it from others.")]
JobPriority = Annotated[
    PriorityName,
    typer.Option(
        "--priority",
        help="With --server: the order among your own jobs there. A step counts as much as a day of waiting.",
    ),
]
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
        help="File of strokes painted on the tomogram, from which the engine 'pixels' learns; the desktop saves such "
        "files.",
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
