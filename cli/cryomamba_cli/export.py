"""``export``: masks and picks for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryomamba.errors import InvalidRequestError
from cryomamba.output_paths import output_file, require_outputs
from cryomamba_cli import output
from cryomamba_cli.copick_input import copick_picks, is_reference, local_volume
from cryomamba_cli.masks import progress_bar
from cryomamba_cli.options import Force, Json

if TYPE_CHECKING:
    from cryomamba.picks import Picks, TomogramInfo

_COPICK = "copick"


def export(
    mask: Annotated[
        Path,
        typer.Argument(
            metavar="MASK.mrc|PICKS.csv", help="Mask, or picks (.csv, .star or .mod), or copick:CONFIG#RUN/OBJECT."
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="Output: .nii.gz, .nrrd, .tif, .ome.zarr, .am (Amira), .mrc, .mod (contours), or a mesh: .stl, .obj, "
            ".ply, .glb; for picks .star, .mod, .tbl or .csv.",
        ),
    ] = None,
    label: Annotated[
        int | None, typer.Option("--label", min=1, metavar="N", help="Only this label; all labels if not given.")
    ] = None,
    zarr: Annotated[
        str, typer.Option("--zarr-version", metavar="0.5|0.4", help="For .ome.zarr: the version of OME-Zarr.")
    ] = "0.5",
    mesh_unit: Annotated[
        str, typer.Option("--mesh-units", metavar="angstrom|nm", help="For meshes: the unit of the coordinates.")
    ] = "angstrom",
    tomogram: Annotated[
        Path | None,
        typer.Option(
            "--tomogram", help="For picks: the tomogram, or a mask of it; the mask next to the table if not given."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--tomo-name", help="For picks: name of the tilt series in RELION or WarpTools.")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="For picks: omit picks with a lower score.")
    ] = None,
    filaments: Annotated[
        bool, typer.Option("--filaments", help="For picks: labels are filament numbers, not classes.")
    ] = False,
    relion: Annotated[
        int, typer.Option("--relion", min=4, max=5, help="For picks: version of RELION that reads the STAR file.")
    ] = 5,
    warp: Annotated[
        bool,
        typer.Option(
            "--warp",
            help="For picks: the STAR file is for WarpTools, with pixels of this tomogram and the name NAME.tomostar.",
        ),
    ] = False,
    copick: Annotated[
        Path | None,
        typer.Option(
            "--copick",
            metavar="CONFIG",
            help="Instead of --out: put it into this copick project, a configuration or its folder; created if "
            "missing.",
            rich_help_panel=_COPICK,
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="NAME", help="Run; the tomogram's name if not given.", rich_help_panel=_COPICK),
    ] = None,
    object_name: Annotated[
        str | None,
        typer.Option(
            "--object",
            metavar="NAME[:USER/SESSION]",
            help="Object; if not given, the label's name or the feature in the file name. User cryomamba, session 0.",
            rich_help_panel=_COPICK,
        ),
    ] = None,
    instances: Annotated[
        bool,
        typer.Option("--instances", help="The labels number the instances of one object.", rich_help_panel=_COPICK),
    ] = False,
    tomogram_type: Annotated[
        str | None,
        typer.Option(
            "--tomo-type",
            metavar="TYPE",
            help="The input is a tomogram of this type, such as wbp or denoised.",
            rich_help_panel=_COPICK,
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Convert a mask to another format, a mesh or contours, or picks for RELION, WarpTools, IMOD, Dynamo or copick."""
    from cryomamba.masks.export import EXTENSIONS
    from cryomamba.masks.export import export as export_mask
    from cryomamba.picks import EXTENSIONS as PICKS_EXTENSIONS
    from cryomamba.picks import write_picks
    from cryomamba.volumes import open_volume
    from cryomamba_cli import copick_export

    if (out is None) == (copick is None):
        raise InvalidRequestError("Give one output: a file with --out, or a copick project with --copick.")
    picks = _picks(mask, tomogram, name, filaments=filaments)
    target = None if out is None else output_file(out, EXTENSIONS if picks is None else PICKS_EXTENSIONS)
    if target is not None:
        inputs = [one for one in (mask, tomogram) if one is not None and not is_reference(one)]
        require_outputs([target], inputs=inputs, replace=force)
    written = [] if target is None else [target]
    if picks is not None:
        chosen, frame = _selected(picks[0], label, min_score), picks[1]
        if target is not None:
            write_picks(chosen, target, frame, relion=relion, warp=warp)
        elif copick is not None:
            written = copick_export.export_picks(mask, chosen, frame, copick, run=run, name=object_name, replace=force)
    else:
        with local_volume(mask, "segmentation", "tomogram") as path, open_volume(path) as volume:
            if target is not None:
                with progress_bar("writing", shown=not json) as progress:
                    export_mask(volume, target, label=label, zarr_version=zarr, mesh_unit=mesh_unit, progress=progress)
            elif copick is not None:
                written = copick_export.export_volume(
                    path if is_reference(mask) else mask,
                    volume,
                    copick,
                    run=run,
                    name=object_name,
                    label=label,
                    tomogram_type=tomogram_type,
                    instances=instances,
                    replace=force,
                    shown=not json,
                )
    files = [str(path) for path in written]
    if json:
        output.document({"file": files[0], "files": files})
        return
    for file in files:
        output.say(file)


def _selected(picks: Picks, label: int | None, min_score: float | None) -> Picks:
    if label is not None:
        picks = picks.select(picks.labels == label)
    return picks if min_score is None else picks.select(picks.scores >= min_score)


def _picks(
    table: Path, tomogram: Path | None, name: str | None, *, filaments: bool
) -> tuple[Picks, TomogramInfo] | None:
    """Return picks and their tomogram, or None if the input is a volume."""
    from cryomamba.picks import READABLE

    if is_reference(table):
        return copick_picks(table)
    return read_table(table, tomogram, name, filaments=filaments) if table.suffix.lower() in READABLE else None


def read_table(table: Path, tomogram: Path | None, name: str | None, *, filaments: bool) -> tuple[Picks, TomogramInfo]:
    """Return the picks of a table, and the tomogram that they are of: `tomogram`, or the mask beside the table."""
    from cryomamba.file_names import split_result_name
    from cryomamba.picks import TomogramInfo, read_csv, read_picks
    from cryomamba.printable import file_text
    from cryomamba.volumes import open_volume

    if not table.is_file():
        raise InvalidRequestError(
            f"There is no file '{table}'.", hint="Give the CSV file that 'cryomamba segment' wrote."
        )
    reference = tomogram or table.with_suffix(".mrc")
    if not is_reference(reference) and not reference.exists():
        raise InvalidRequestError(
            f"The size of the tomogram is unknown: there is no '{reference}'.",
            hint="Give the tomogram, or a mask of it, with --tomogram.",
        )
    with local_volume(reference, "tomogram", "segmentation") as path, open_volume(path) as volume:
        frame = TomogramInfo(volume.shape, volume.voxel_size_A, file_text(name or split_result_name(path)[0]))
    is_own = table.suffix.lower() == ".csv"
    return (read_csv(table, "filaments" if filaments else "particles") if is_own else read_picks(table, frame)), frame
