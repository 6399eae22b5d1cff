"""``synth``: a synthetic tomogram and its ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryomamba.file_names import stem
from cryomamba.output_paths import MRC, output_file, require_outputs
from cryomamba_cli import output
from cryomamba_cli.options import Force, Json, Parameters, numbers, shape
from cryomamba_cli.result_paths import result_path

if TYPE_CHECKING:
    from cryomamba.picks import Kind, Picks
    from cryomamba.synth import Phantom, PhantomSpec


def synth(
    out: Annotated[str, typer.Argument(metavar="OUT.mrc", help="Tomogram to write (MRC).")],
    size: Annotated[
        str, typer.Option("--shape", metavar="Z,Y,X", help="Size in voxels: one number, or three as z,y,x.")
    ] = "128,256,256",
    voxel: Annotated[
        str, typer.Option("--voxel-size", metavar="Å", help="Voxel size in Å: one number, or three as z,y,x.")
    ] = "10",
    seed: Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same tomogram.")] = 0,
    param: Parameters = None,
    truth: Annotated[
        str | None,
        typer.Option(
            "--truth",
            metavar="PATH",
            help="Ground-truth mask to write; OUT__truth.mrc next to the tomogram if not given.",
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a synthetic tomogram with its ground truth: a mask, and tables of particle and filament coordinates."""
    tomogram = output_file(out, MRC)
    mask = result_path(tomogram, "truth") if truth is None else output_file(truth, MRC)
    spec = phantom_spec(size, voxel, seed, param or [])
    tables = {kind: mask.with_name(f"{stem(mask)}_{kind}.csv") for kind in _pick_kinds(spec)}
    require_outputs((tomogram, mask, *tables.values()), replace=force)
    if not json:
        output.note(f"Generating {output.triple(spec.shape)} voxels of {output.triple(spec.voxel_size_A)} Å …")
    phantom = write_phantom(spec, tomogram, mask)
    write_coordinates(phantom, tables, tomogram)
    fields = _fields(phantom, tomogram, mask, tables)
    if json:
        output.document(fields)
        return
    files = [("tomogram", tomogram), ("ground truth", mask), *tables.items()]
    output.facts([(name, str(path)) for name, path in files])
    for name, count in fields["voxels"].items():
        output.say(f"  {name}: {count} voxels, {count / phantom.ground_truth.size:.2%}")


def phantom_spec(size: str, voxel: str, seed: int, params: list[str]) -> PhantomSpec:
    """Return the phantom specification that the options describe.

    Raises
    ------
    InvalidRequestError
        An option or parameter is not valid; the message names it.
    """
    from pydantic import ValidationError

    from cryomamba.synth import PhantomSpec
    from cryomamba.wire.requests import invalid_fields
    from cryomamba_cli.parameters import parse

    options = {"shape": shape(size), "voxel_size_A": numbers(voxel, option="--voxel-size"), "seed": seed}
    try:
        return PhantomSpec.model_validate({**options, **parse(params, PhantomSpec.model_json_schema(), owner="synth")})
    except ValidationError as error:
        raise invalid_fields(error) from None


def write_phantom(spec: PhantomSpec, tomogram: Path, truth: Path) -> Phantom:
    """Generate a phantom and write its density and its ground truth on the same grid."""
    from cryomamba.synth import LABELS, synthesize
    from cryomamba.volumes import MaskWriter, open_volume, write_volume

    phantom = synthesize(spec)
    write_volume(tomogram, phantom.density, phantom.voxel_size_A, label=f"synthetic tomogram, seed {spec.seed}")
    with open_volume(tomogram) as volume, MaskWriter(truth, volume, labels=max(LABELS), engine="truth") as mask:
        mask.write(0, 0, 0, phantom.ground_truth)
    return phantom


def _pick_kinds(spec: PhantomSpec) -> list[Kind]:
    counts: dict[Kind, int | None] = {"particles": spec.particles, "filaments": spec.filaments}
    return [kind for kind, count in counts.items() if count != 0]


def write_coordinates(phantom: Phantom, tables: dict[Kind, Path], tomogram: Path) -> None:
    """Write the coordinates of particles and of the centre lines of filaments, as an engine writes its picks.

    Every score is 255. Points of filaments outside the volume are left out.
    """
    from cryomamba.picks import TomogramInfo, write_csv
    from cryomamba.printable import file_text

    frame = TomogramInfo(phantom.spec.shape, phantom.voxel_size_A, file_text(tomogram.name))
    for kind, path in tables.items():
        write_csv(_coordinates(phantom, kind), path, frame)


def _coordinates(phantom: Phantom, kind: Kind) -> Picks:
    import numpy as np

    from cryomamba.picks import Picks

    lines = [*phantom.filaments_A] if kind == "filaments" else [phantom.particles_A]
    positions = np.concatenate([np.empty((0, 3)), *lines]) / phantom.voxel_size_A
    labels = np.repeat(np.arange(1, len(lines) + 1), [len(line) for line in lines])
    inside = np.all((positions >= -0.5) & (positions < np.array(phantom.spec.shape) - 0.5), axis=1)
    return Picks(positions, np.full(len(positions), 255.0), labels, kind).select(inside)


def _fields(phantom: Phantom, tomogram: Path, truth: Path, tables: dict[Kind, Path]) -> dict[str, Any]:
    import numpy as np

    from cryomamba.synth import LABELS

    counts = np.bincount(phantom.ground_truth.reshape(-1), minlength=len(LABELS))
    return {
        "tomogram": str(tomogram),
        "truth": str(truth),
        "picks": {kind: str(path) for kind, path in tables.items()},
        "labels": {str(label): name for label, name in LABELS.items()},
        "voxels": {name: int(counts[label]) for label, name in LABELS.items() if counts[label]},
        "spec": phantom.spec.model_dump(mode="json"),
    }
