"""Options of ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

_COPICK: Final = "copick"

Input = Annotated[
    Path,
    typer.Argument(
        metavar="MASK.mrc|PICKS.csv", help="Mask, or picks (.csv, .star or .mod), or copick:CONFIG#RUN/OBJECT."
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="PATH",
        help="Output: .nii.gz, .nrrd, .tif, .ome.zarr, .am (Amira), .mrc, .mod (contours), or a mesh: .stl, .obj, "
        ".ply, .glb; for picks .star, .mod, .tbl or .csv.",
    ),
]
Label = Annotated[
    int | None, typer.Option("--label", min=1, metavar="N", help="Only this label; all labels if not given.")
]
ZarrVersion = Annotated[
    str, typer.Option("--zarr-version", metavar="0.5|0.4", help="For .ome.zarr: the version of OME-Zarr.")
]
MeshUnit = Annotated[
    str, typer.Option("--mesh-units", metavar="angstrom|nm", help="For meshes: the unit of the coordinates.")
]
Reference = Annotated[
    Path | None,
    typer.Option(
        "--tomogram", help="For picks: the tomogram, or a mask of it; the mask next to the table if not given."
    ),
]
TomogramName = Annotated[
    str | None, typer.Option("--tomo-name", help="For picks: name of the tilt series in RELION or WarpTools.")
]
MinScore = Annotated[float | None, typer.Option("--min-score", help="For picks: omit picks with a lower score.")]
Filaments = Annotated[bool, typer.Option("--filaments", help="For picks: labels are filament numbers, not classes.")]
Relion = Annotated[
    int, typer.Option("--relion", min=4, max=5, help="For picks: version of RELION that reads the STAR file.")
]
Warp = Annotated[
    bool,
    typer.Option(
        "--warp",
        help="For picks: the STAR file is for WarpTools, with pixels of this tomogram and the name NAME.tomostar.",
    ),
]
Project = Annotated[
    Path | None,
    typer.Option(
        "--copick",
        metavar="CONFIG",
        help="Instead of --out: put it into this copick project, a configuration or its folder; created if missing.",
        rich_help_panel=_COPICK,
    ),
]
Run = Annotated[
    str | None,
    typer.Option("--run", metavar="NAME", help="Run; the tomogram's name if not given.", rich_help_panel=_COPICK),
]
ObjectName = Annotated[
    str | None,
    typer.Option(
        "--object",
        metavar="NAME[:USER/SESSION]",
        help="Object; if not given, the label's name or the feature in the file name. User cryomamba, session 0.",
        rich_help_panel=_COPICK,
    ),
]
Instances = Annotated[
    bool, typer.Option("--instances", help="The labels number the instances of one object.", rich_help_panel=_COPICK)
]
TomogramType = Annotated[
    str | None,
    typer.Option(
        "--tomo-type",
        metavar="TYPE",
        help="The input is a tomogram of this type, such as wbp or denoised.",
        rich_help_panel=_COPICK,
    ),
]
