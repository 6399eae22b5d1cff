"""``info``: header and statistics of a volume."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryomamba_cli import output
from cryomamba_cli.copick_input import is_reference, local_volume
from cryomamba_cli.masks import progress_bar
from cryomamba_cli.options import Json, VoxelSize, voxel_size

if TYPE_CHECKING:
    from cryomamba.volumes import Statistics, VolumeMeta


def info(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="MRC file (.mrc .rec .map .st .ali; also .gz or .bz2); copick:CONFIG for a copick project.",
        ),
    ],
    statistics: Annotated[
        bool, typer.Option("--statistics/--no-statistics", help="Read all voxels for statistics, or only the header.")
    ] = True,
    size: VoxelSize = None,
    json: Json = False,
) -> None:
    """Show the header, voxel size, statistics and warnings of a volume, or what a copick project holds."""
    from cryomamba.volumes import inspect

    if is_reference(file) and "#" not in str(file):
        _list_project(file, json=json)
        return
    override = voxel_size(size)
    with local_volume(file, "tomogram", "segmentation") as path:
        meta = inspect(path, voxel_size_A=override)
        measured = _measure(path, override, shown=not json) if statistics else None
    if json:
        output.document({**meta.model_dump(mode="json"), "statistics": measured and measured.model_dump(mode="json")})
        return
    output.facts(_facts(meta) + (_numbers(measured) if measured is not None else []))
    for warning in meta.warnings:
        output.say(f"warning: {warning.message} {warning.hint}".rstrip())


def _list_project(file: Path, *, json: bool) -> None:
    from cryomamba.copick import Project, parse_reference

    project = Project.open(parse_reference(file).config)
    entries = [
        {"kind": entry.kind, "reference": f"copick:{project.path}#{entry.run}/{entry.uri}", "path": str(entry.path)}
        for entry in project.entries()
    ]
    if json:
        output.document({"project": str(project.path), "objects": sorted(project.objects()), "entries": entries})
        return
    output.facts([("project", str(project.path)), ("objects", ", ".join(sorted(project.objects())) or "none")])
    output.table(("", "REFERENCE"), [(entry["kind"], entry["reference"]) for entry in entries])


def _measure(file: Path, override: tuple[float, float, float] | None, *, shown: bool) -> Statistics:
    from cryomamba.volumes import open_volume, stream_statistics

    with open_volume(file, voxel_size_A=override) as volume, progress_bar("reading", shown=shown) as progress:
        return stream_statistics(volume, progress=progress)


def _facts(meta: VolumeMeta) -> list[tuple[str, str]]:
    extent = tuple(count * size / 10 for count, size in zip(meta.shape, meta.voxel_size_A, strict=True))
    extended = meta.extended_header
    compression = f", compressed with {meta.compression}" if meta.compression else ""
    facts = [
        ("file", f"{meta.name}, {output.nbytes(meta.size_bytes)}{compression}"),
        ("shape", f"{output.triple(meta.shape)} voxels (z, y, x)"),
        ("voxel size", f"{output.triple(meta.voxel_size_A)} Å (z, y, x)"),
        ("extent", f"{output.triple(extent)} nm (z, y, x)"),
        ("voxels", f"{meta.dtype} (mode {meta.mode})"),
        ("axes", f"columns, rows and sections are along {', '.join('?xyz'[axis] for axis in meta.axes)}"),
        ("origin", f"{output.point(meta.origin_A)} Å (x, y, z)"),
        ("start", f"{output.point(meta.nstart)} (column, row, section)"),
        ("cell", f"{output.triple(meta.cell_A)} Å (x, y, z)"),
        ("extended header", f"{extended.type}, {output.nbytes(extended.nbytes)}" if extended else ""),
    ]
    return [(name, value) for name, value in facts if value] + [("label", text) for text in meta.labels]


def _numbers(measured: Statistics) -> list[tuple[str, str]]:
    low, high = measured.percentiles[1.0], measured.percentiles[99.0]
    facts = [
        ("minimum", f"{measured.minimum:.6g}"),
        ("maximum", f"{measured.maximum:.6g}"),
        ("mean", f"{measured.mean:.6g}"),
        ("standard deviation", f"{measured.std:.6g}"),
        ("1 % to 99 %", f"{low:.6g} to {high:.6g}"),
    ]
    if measured.non_finite:
        facts.append(("not finite", f"{measured.non_finite} of {measured.count} voxels are NaN or infinite"))
    return facts
