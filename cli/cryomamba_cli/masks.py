"""``measure`` and ``clean``: post-processing of masks on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryomamba.errors import InvalidRequestError
from cryomamba.output_paths import output_file, require_outputs
from cryomamba_cli import output
from cryomamba_cli.copick_input import local_volume
from cryomamba_cli.options import Force, Json, VoxelSize, voxel_size
from cryomamba_cli.output_format import converted_file, mask_file
from cryomamba_cli.verbosity import is_quiet

if TYPE_CHECKING:
    from cryomamba.masks.measure import InstanceSummary, LabelSummary, Measurements
    from cryomamba.masks.slabs import LabelSource

Mask = Annotated[Path, typer.Argument(metavar="MASK.mrc", help="Mask: an MRC file with labels.")]
MinVolume = Annotated[
    float | None,
    typer.Option(
        "--min-volume", min=0, metavar="nm³", help="Remove connected components smaller than this volume (nm³)."
    ),
]
_SHOWN = 10


def measure(
    mask: Mask,
    csv: Annotated[
        str | None, typer.Option("--csv", metavar="PATH", help="Write all labels and components to this table.")
    ] = None,
    shape: Annotated[
        bool,
        typer.Option("--shape/--no-shape", help="Measure surface area and thickness too, or only sizes and positions."),
    ] = True,
    size: VoxelSize = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Measure labels and connected components: volume, surface area, thickness, centroid, bounding box."""
    from cryomamba.masks.measure import measure as measure_mask
    from cryomamba.masks.measure import write_csv
    from cryomamba.masks.slabs import LabelSource
    from cryomamba.volumes import open_volume
    from cryomamba.volumes.label_names import names_in

    table = None if csv is None else output_file(csv, (".csv",))
    if table is not None:
        require_outputs([table], inputs=[mask], replace=force)
    with (
        local_volume(mask, "segmentation") as path,
        open_volume(path, voxel_size_A=voxel_size(size)) as volume,
        progress_bar("measuring", shown=not json) as progress,
    ):
        names = names_in(volume.meta.labels)
        measured = measure_mask(LabelSource.of_volume(volume), names, shape=shape, progress=progress)
        if table is not None:
            write_csv(measured, table)
    if json:
        output.document({"mask": str(mask), **fields(measured)})
        return
    output.table(_HEADS, [_row(label.name, label) for label in measured.labels])
    if measured.count > len(measured.labels):
        output.say("")
        output.table(_HEADS, [_row(f"component {one.instance}", one) for one in measured.instances(_SHOWN)])
    if measured.count > _SHOWN:
        output.note(
            f"{measured.count - _SHOWN} smaller components are not shown; --csv FILE writes {_listed(measured)}."
        )
    if table is not None:
        output.say(str(table))


def clean(
    mask: Mask,
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="PATH", help="Mask to write, in the format of the extension.")
    ],
    min_volume: MinVolume = None,
    fill_holes: Annotated[bool, typer.Option("--fill-holes", help="Fill enclosed background.")] = False,
    fill_planes: Annotated[
        bool, typer.Option("--fill-planes", help="Fill background that is enclosed within an xy plane.")
    ] = False,
    keep: Annotated[
        list[int] | None,
        typer.Option("--keep", metavar="N", help="Keep this component only, 1 being the largest; may be repeated."),
    ] = None,
    split: Annotated[
        bool, typer.Option("--split", help="Separate touching objects where they narrow, and label each.")
    ] = False,
    number: Annotated[bool, typer.Option("--number", help="Label each connected component, the largest as 1.")] = False,
    drop_negative: Annotated[
        bool, typer.Option("--drop-negative", help="First set labels below 0 (voxels to ignore) to background.")
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Remove small components, fill holes, select or label components, in this order; each step is optional."""
    from cryomamba.masks.slabs import LabelSource, write_labels
    from cryomamba.masks.split import split_instances
    from cryomamba.volumes import LabelVolume, open_volume

    if not (min_volume or fill_holes or fill_planes or keep or split or number or drop_negative):
        raise InvalidRequestError(
            "No operation given.",
            hint="Give --min-volume, --fill-holes, --fill-planes, --keep, --number, --split or --drop-negative.",
        )
    target = mask_file(out)
    require_outputs([target], inputs=[mask], replace=force)
    with (
        converted_file(target) as path,
        local_volume(mask, "segmentation") as source_path,
        open_volume(source_path) as volume,
        progress_bar("cleaning", shown=not json) as progress,
    ):
        labels = LabelVolume.of(volume, negative_is_background=drop_negative)
        source = _cleaned(LabelSource.of_volume(labels), min_volume, (fill_holes, fill_planes), keep or [])
        most = max(labels.highest, 1)
        names: dict[int, str] | None = None
        if split or number:
            # The labels become numbers of components, for which the names of the labels are wrong.
            source, most, names = split_instances(source, split=split), 0xFFFF, {}
        write_labels(source, path, volume, labels=most, engine="clean", names=names, progress=progress)
    output.result({"mask": str(target)}, str(target), json=json)


def fields(measured: Measurements, most: int | None = None) -> dict[str, object]:
    """Return measurements as JSON types; at most `most` components."""
    from cryomamba.masks.measure import METHOD, THICKNESS_METHOD

    return {
        "surface_method": METHOD,
        "thickness_method": THICKNESS_METHOD,
        "labels": [label.model_dump(mode="json") for label in measured.labels],
        "instances": [one.model_dump(mode="json") for one in measured.instances(most)],
    }


@contextmanager
def progress_bar(what: str, *, shown: bool) -> Iterator[Callable[[float], None]]:
    """Show a progress bar on stderr if that is a terminal; gives a function that takes the fraction done."""
    from rich.console import Console
    from rich.progress import Progress

    shown = shown and not is_quiet() and sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=not shown) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda fraction: bar.update(task, completed=fraction)


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
    surface = "" if one.surface_nm2 is None else output.quantity(one.surface_nm2)
    thickness = "" if one.thickness_A is None else f"{one.thickness_A:.3g} ± {one.thickness_sd_A:.2g}"
    centroid = "" if one.centroid is None else ", ".join(f"{at:.1f}" for at in one.centroid)
    box = ""
    if one.box_start is not None and one.box_stop is not None:
        box = ", ".join(f"{start}–{stop - 1}" for start, stop in zip(one.box_start, one.box_stop, strict=True))
    return name, f"{one.voxels:,}", output.quantity(one.volume_nm3), surface, thickness, centroid, box
