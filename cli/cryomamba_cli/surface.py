"""``surface``: the medial surface of membranes in any mask, with points and normals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cryomamba.errors import InvalidRequestError
from cryomamba.output_paths import output_file, require_outputs
from cryomamba_cli import output
from cryomamba_cli.masks import Mask, progress_bar
from cryomamba_cli.options import Force, Json, VoxelSize, voxel_size

if TYPE_CHECKING:
    from cryomamba.masks.instances import Instances
    from cryomamba.masks.membrane_files import Membranes

_POINTS: Final = (".csv", ".star", ".tbl")
_SHOWN: Final = 10


Out = Annotated[
    list[str] | None,
    typer.Option(
        "--out",
        "-o",
        metavar="PATH",
        help="Output file: .mrc for the medial surface, one voxel thick; .csv, .star or .tbl for points with "
        "normals and angles; .nrrd for the normals as a vector field. May be repeated.",
    ),
]
PointSpacing = Annotated[
    float | None, typer.Option("--spacing", min=5, metavar="Å", help="Spacing of the points in Å; 100 if not given.")
]
Thickness = Annotated[
    float | None,
    typer.Option(
        "--thickness", min=1, metavar="Å", help="Thickness of the membranes in the mask in Å; measured if not given."
    ),
]
MembraneLabel = Annotated[
    int | None, typer.Option("--label", min=1, metavar="N", help="Label of the membranes; all labels if not given.")
]
TomogramName = Annotated[
    str | None, typer.Option("--tomo-name", help="Name of the tilt series in RELION (rlnTomoName).")
]


def surface(
    mask: Mask,
    out: Out = None,
    spacing: PointSpacing = None,
    thickness: Thickness = None,
    label: MembraneLabel = None,
    name: TomogramName = None,
    size: VoxelSize = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Trace the medial surface of membranes: areas, and points with normals for subtomogram averaging."""
    from cryomamba.file_names import split_result_name
    from cryomamba.masks.instances import find_instances
    from cryomamba.masks.membrane_files import MembraneFiles, trace_membranes
    from cryomamba.masks.slabs import LabelSource
    from cryomamba.picks import TomogramInfo, write_picks
    from cryomamba.printable import file_text
    from cryomamba.volumes import open_volume

    files = _by_format(out or ())
    require_outputs(files.values(), inputs=[mask], replace=force)
    with (
        open_volume(mask, voxel_size_A=voxel_size(size)) as volume,
        progress_bar("tracing", shown=not json) as progress,
    ):
        instances = find_instances(LabelSource.of_volume(volume), progress=lambda done: progress(done / 4))
        found = trace_membranes(
            instances,
            volume,
            MembraneFiles(medial_surface=files.get(".mrc"), normals=files.get(".nrrd")),
            label=label,
            thickness_A=thickness,
            spacing_A=spacing,
            progress=lambda done: progress((1 + 3 * done) / 4),
        )
        frame = TomogramInfo(volume.shape, volume.voxel_size_A, file_text(name or split_result_name(mask)[0]))
    for ending in _POINTS:
        if ending in files:
            write_picks(found.points, files[ending], frame)
    _print_result(mask, list(files.values()), instances, found, json=json)


def _by_format(names: Sequence[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for name in names:
        path = output_file(name, (".mrc", ".nrrd", *_POINTS))
        ending = path.suffix.lower()
        if ending in files:
            raise InvalidRequestError(
                f"'{files[ending]}' and '{path}' have the same format.", hint="Give at most one file of each format."
            )
        files[ending] = path
    return files


def _print_result(mask: Path, out: list[Path], instances: Instances, found: Membranes, *, json: bool) -> None:
    rows = [
        {"instance": number, "label": int(label), "voxels": int(voxels), "medial_surface_nm2": float(area)}
        for number, (label, voxels, area) in enumerate(
            zip(instances.label, instances.voxels, found.medial_surface_nm2, strict=True), 1
        )
        if area > 0
    ]
    if json:
        facts = {"mask": str(mask), "thickness_A": found.thickness_A, "points": len(found.points)}
        output.document({**facts, "files": [str(path) for path in out], "instances": rows})
        return
    output.table(
        ("", "VOXELS", "MEDIAL SURFACE nm²"),
        [
            (f"component {row['instance']}", f"{row['voxels']:,}", output.quantity(row["medial_surface_nm2"]))
            for row in rows[:_SHOWN]
        ],
    )
    if len(rows) > _SHOWN:
        output.note(f"{len(rows) - _SHOWN} smaller components are not shown; --json lists all.")
    area = output.quantity(float(found.medial_surface_nm2.sum()))
    output.note(
        f"Mask thickness {found.thickness_A:.3g} Å, medial surface area {area} nm², {len(found.points):,} points."
    )
    for path in out:
        output.say(str(path))
