"""``export``: masks and picks for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cryomamba.errors import InvalidRequestError
from cryomamba.output_paths import output_file, require_outputs
from cryomamba_cli import export_options as options
from cryomamba_cli import output
from cryomamba_cli.copick_input import copick_picks, is_reference, local_volume
from cryomamba_cli.masks import progress_bar
from cryomamba_cli.options import Force, Json

if TYPE_CHECKING:
    from cryomamba.picks import Picks, TomogramInfo


def export(
    mask: options.Input,
    out: options.Out = None,
    label: options.Label = None,
    zarr: options.ZarrVersion = "0.5",
    mesh_unit: options.MeshUnit = "angstrom",
    tomogram: options.Reference = None,
    name: options.TomogramName = None,
    min_score: options.MinScore = None,
    filaments: options.Filaments = False,
    relion: options.Relion = 5,
    warp: options.Warp = False,
    copick: options.Project = None,
    run: options.Run = None,
    object_name: options.ObjectName = None,
    instances: options.Instances = False,
    tomogram_type: options.TomogramType = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Convert a mask to another format, a mesh or contours, or picks for RELION, WarpTools, IMOD, Dynamo or copick."""
    from cryomamba.masks.export import export as export_mask
    from cryomamba.picks import write_picks
    from cryomamba.volumes import open_volume
    from cryomamba_cli import copick_export

    if (out is None) == (copick is None):
        raise InvalidRequestError("Give one output: a file with --out, or a copick project with --copick.")
    picks = _picks(mask, tomogram, name, filaments=filaments)
    target = None if out is None else _target(out, (mask, tomogram), of_picks=picks is not None, replace=force)
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
    _print_files(written, json=json)


def _target(out: str, inputs: Sequence[Path | None], *, of_picks: bool, replace: bool) -> Path:
    """Return the output file, which must not be one of the inputs."""
    from cryomamba.masks.export import EXTENSIONS
    from cryomamba.picks import EXTENSIONS as PICKS_EXTENSIONS

    target = output_file(out, PICKS_EXTENSIONS if of_picks else EXTENSIONS)
    files = [path for path in inputs if path is not None and not is_reference(path)]
    require_outputs([target], inputs=files, replace=replace)
    return target


def _print_files(written: Sequence[Path], *, json: bool) -> None:
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
