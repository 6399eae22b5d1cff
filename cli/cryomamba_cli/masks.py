"""``measure``, ``clean``, ``export``: what is done with a mask afterwards, in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryomamba.errors import InvalidRequestError
from cryomamba_cli import output
from cryomamba_cli.naming import require_free
from cryomamba_cli.options import Force, Json, VoxelSize, voxel_size

if TYPE_CHECKING:
    from cryomamba.masks.measure import InstanceSummary, LabelSummary, Measurements
    from cryomamba.masks.slabs import LabelSource

Mask = Annotated[Path, typer.Argument(metavar="MASK.mrc", help="A mask: an MRC file of labels.")]
MinVolume = Annotated[
    float | None, typer.Option("--min-volume", min=0, metavar="NM3", help="Remove smaller pieces (nm³).")
]
_SHOWN = 10


def measure(
    mask: Mask,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write all labels and pieces into this table.")] = None,
    shape: Annotated[
        bool, typer.Option("--shape/--no-shape", help="Measure surface and thickness too, or sizes and places alone.")
    ] = True,
    size: VoxelSize = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Measure labels and connected pieces: volume, surface, thickness, centroid, box."""
    from cryomamba.masks.measure import measure as measure_mask
    from cryomamba.masks.measure import write_csv
    from cryomamba.masks.slabs import LabelSource
    from cryomamba.volumes import open_volume

    if csv is not None:
        require_free(csv, force=force)
    with open_volume(mask, voxel_size_A=voxel_size(size)) as volume, bar("measuring", shown=not json) as step:
        measured = measure_mask(LabelSource.of_volume(volume), {}, shape=shape, progress=step)
        if csv is not None:
            write_csv(measured, csv)
    if json:
        output.document({"mask": str(mask), **fields(measured)})
        return
    output.table(_HEADS, [_row(label.name, label) for label in measured.labels])
    if measured.count > len(measured.labels):
        output.say("")
        output.table(_HEADS, [_row(f"piece {one.instance}", one) for one in measured.instances(_SHOWN)])
    if measured.count > _SHOWN:
        output.note(f"{measured.count - _SHOWN} smaller pieces are not shown; --csv FILE writes {_listed(measured)}.")
    if csv is not None:
        output.say(str(csv))


def clean(
    mask: Mask,
    out: Annotated[Path, typer.Option("--out", "-o", help="The mask to write.")],
    min_volume: MinVolume = None,
    fill_holes: Annotated[bool, typer.Option("--fill-holes", help="Fill background that is enclosed.")] = False,
    fill_planes: Annotated[
        bool, typer.Option("--fill-planes", help="Fill background that is enclosed within a z plane.")
    ] = False,
    keep: Annotated[
        list[int] | None,
        typer.Option("--keep", metavar="N", help="Keep this piece, 1 being the largest; may be repeated."),
    ] = None,
    split: Annotated[
        bool, typer.Option("--split", help="Number the pieces, and take touching ones apart where they narrow.")
    ] = False,
    number: Annotated[bool, typer.Option("--number", help="Number the connected pieces, the largest first.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Remove small pieces, fill holes, keep pieces, number them; in this order, as far as asked for."""
    from cryomamba.masks.export import max_label
    from cryomamba.masks.slabs import LabelSource, write_labels
    from cryomamba.masks.split import split_instances
    from cryomamba.volumes import open_volume

    if not (min_volume or fill_holes or fill_planes or keep or split or number):
        raise InvalidRequestError(
            "Nothing is to be done.",
            hint="Give --min-volume, --fill-holes, --fill-planes, --keep, --number or --split.",
        )
    require_free(out, force=force)
    with open_volume(mask) as volume, bar("cleaning", shown=not json) as step:
        source = _cleaned(LabelSource.of_volume(volume), min_volume, (fill_holes, fill_planes), keep or [])
        most = max_label(volume)
        if split or number:
            source, most = split_instances(source, split=split), 0xFFFF
        write_labels(source, out, volume, labels=most, engine="clean", progress=step)
    if json:
        output.document({"mask": str(out)})
    else:
        output.say(str(out))


def export(
    mask: Annotated[Path, typer.Argument(metavar="MASK.mrc|PICKS.csv", help="A mask, or a table of picks.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="What to write: .nii.gz .nrrd .tif .ome.zarr .stl .obj or .mrc; of picks .star .tbl."
        ),
    ],
    label: Annotated[
        int | None, typer.Option("--label", min=1, metavar="N", help="Only this label; in a mesh, all if not given.")
    ] = None,
    tomogram: Annotated[
        Path | None,
        typer.Option("--tomogram", help="Of picks: the tomogram or a mask of it; the mask beside them if not given."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--tomo-name", help="Of picks: what RELION calls the tilt series (rlnTomoName).")
    ] = None,
    min_score: Annotated[float | None, typer.Option("--min-score", help="Of picks: leave out lower scores.")] = None,
    filaments: Annotated[
        bool, typer.Option("--filaments", help="Of picks: labels are numbers of filaments, not of classes.")
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a mask in another format or as a mesh (in Å), or picks for RELION 5 or Dynamo; by the name's ending."""
    from cryomamba.masks.export import export as export_mask
    from cryomamba.masks.export import extension_of
    from cryomamba.volumes import open_volume

    if mask.suffix.lower() == ".csv":
        _export_picks(mask, out, tomogram, name, label, min_score, filaments=filaments, force=force)
    else:
        extension_of(out)
        require_free(out, force=force)
        with open_volume(mask) as volume, bar("writing", shown=not json) as step:
            export_mask(volume, out, label=label, progress=step)
    if json:
        output.document({"file": str(out)})
    else:
        output.say(str(out))


def _export_picks(
    table: Path,
    out: Path,
    tomogram: Path | None,
    name: str | None,
    label: int | None,
    min_score: float | None,
    *,
    filaments: bool,
    force: bool,
) -> None:
    from cryomamba.file_names import stem
    from cryomamba.picks import Frame, read_csv, write_picks
    from cryomamba.volumes import open_volume

    require_free(out, force=force)
    if not table.is_file():
        raise InvalidRequestError(f"There is no file '{table}'.", hint="Give the CSV that 'cryomamba segment' wrote.")
    where = tomogram or table.with_suffix(".mrc")
    if not where.exists():
        raise InvalidRequestError(
            f"The size of the tomogram is not known: there is no '{where}'.",
            hint="Name the tomogram, or a mask of it, with --tomogram.",
        )
    picks = read_csv(table, "filaments" if filaments else "particles")
    if label is not None:
        picks = picks.chosen(picks.labels == label)
    if min_score is not None:
        picks = picks.chosen(picks.scores >= min_score)
    with open_volume(where) as volume:
        frame = Frame(volume.shape, volume.voxel_size_A, name or stem(where).partition("__")[0])
    write_picks(picks, out, frame)


def fields(measured: Measurements, most: int | None = None) -> dict[str, object]:
    """Return measurements as plain JSON types."""
    from cryomamba.masks.measure import METHOD, THICKNESS_METHOD

    return {
        "surface_method": METHOD,
        "thickness_method": THICKNESS_METHOD,
        "labels": [label.model_dump(mode="json") for label in measured.labels],
        "instances": [one.model_dump(mode="json") for one in measured.instances(most)],
    }


@contextmanager
def bar(what: str, *, shown: bool) -> Iterator[Callable[[float], None]]:
    """Show on stderr, if that is a terminal, how far something is."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(
        console=Console(stderr=True), transient=True, disable=not (shown and sys.stderr.isatty())
    ) as progress:
        task = progress.add_task(what, total=1.0)
        yield lambda fraction: progress.update(task, completed=fraction)


def _listed(measured: Measurements) -> str:
    return "all of them" if measured.listed == measured.count else f"the largest {measured.listed:,}"


def _cleaned(source: LabelSource, min_volume: float | None, fill: tuple[bool, bool], keep: list[int]) -> LabelSource:
    from cryomamba.masks.clean import fill_holes, fill_holes_in_planes, keep_components, remove_small_components

    if min_volume:
        source = remove_small_components(source, min_volume)
    if fill[0]:
        source = fill_holes(source)
    if fill[1]:
        source = fill_holes_in_planes(source)
    return keep_components(source, keep) if keep else source


_HEADS = ("", "VOXELS", "VOLUME nm³", "SURFACE nm²", "THICKNESS Å", "CENTROID z, y, x", "BOX")


def _row(name: str, one: LabelSummary | InstanceSummary) -> tuple[str, ...]:
    surface = "" if one.surface_nm2 is None else f"{one.surface_nm2:.6g}"
    thickness = "" if one.thickness_A is None else f"{one.thickness_A:.3g} ± {one.thickness_sd_A:.2g}"
    centroid = "" if one.centroid is None else ", ".join(f"{at:.1f}" for at in one.centroid)
    box = ""
    if one.box_start is not None and one.box_stop is not None:
        box = ", ".join(f"{start}–{stop - 1}" for start, stop in zip(one.box_start, one.box_stop, strict=True))
    return name, str(one.voxels), f"{one.volume_nm3:.6g}", surface, thickness, centroid, box
