"""``convert``: TIFF and OME-Zarr as MRC, which is what engines read."""

from __future__ import annotations

from typing import Annotated

import typer

from cryomamba.output_paths import MRC, output_file, require_outputs
from cryomamba_cli import output
from cryomamba_cli.copick_input import is_reference
from cryomamba_cli.masks import progress_bar
from cryomamba_cli.options import Force, Json, VoxelSize, voxel_size


def convert(
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE",
            help="TIFF file, OME-Zarr folder, its address on a web server, or copick:CONFIG#RUN/TYPE@SPACING.",
        ),
    ],
    out: Annotated[str, typer.Option("--out", "-o", metavar="PATH", help="Volume to write (MRC).")],
    size: VoxelSize = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Convert a TIFF or OME-Zarr image, or one of a copick project, to MRC. Memory use does not grow with the image."""
    from pathlib import Path

    from cryomamba.volumes.images import is_url, open_image

    target = output_file(out, MRC)
    if is_reference(image):
        from cryomamba.copick import resolve

        image = str(resolve(image, "tomogram", "segmentation").path)
    require_outputs([target], inputs=[] if is_url(image) else [Path(image)], replace=force)
    override = voxel_size(size)
    with open_image(image) as volume, progress_bar("converting", shown=not json) as progress:
        if override is not None:
            volume.set_voxel_size(override)
        volume.write_mrc(target, progress=progress)
    for warning in volume.meta.warnings:
        output.note(f"warning: {warning.message} {warning.hint}".rstrip())
    output.result({"file": str(target)}, str(target), json=json)
