"""``synth``: a synthetic tomogram and its truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryomamba_cli import output
from cryomamba_cli.naming import beside, require_free, stem
from cryomamba_cli.options import Force, Json, Parameters, numbers, shape

if TYPE_CHECKING:
    from cryomamba.picks import Kind, Picks
    from cryomamba.synth import Phantom, PhantomSpec


def synth(
    out: Annotated[Path, typer.Argument(metavar="OUT.mrc", help="The tomogram to write.")],
    size: Annotated[
        str, typer.Option("--shape", metavar="Z,Y,X", help="Voxels: one number, or three as z,y,x.")
    ] = "128,256,256",
    voxel: Annotated[
        str, typer.Option("--voxel-size", metavar="Å", help="Voxel size in Å: one number, or three as z,y,x.")
    ] = "10",
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same tomogram.")] = 0,
    param: Parameters = None,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="Where the truth goes; OUT__truth.mrc beside it if not given.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a synthetic tomogram, and the mask and the tables of picks that a perfect engine would find."""
    truth = truth or beside(out, "truth")
    spec = recipe(size, voxel, seed, param or [])
    tables = {kind: truth.with_name(f"{stem(truth)}_{kind}.csv") for kind in _picked(spec)}
    for path in (out, truth, *tables.values()):
        require_free(path, force=force)
    if not json:
        output.note(f"Making {output.triple(spec.shape)} voxels of {output.triple(spec.voxel_size_A)} Å …")
    phantom = write_phantom(spec, out, truth)
    write_places(phantom, tables, out)
    fields = _fields(phantom, out, truth, tables)
    if json:
        output.document(fields)
        return
    output.say(f"tomogram  {out}")
    output.say(f"truth     {truth}")
    total = phantom.ground_truth.size
    for name, count in fields["voxels"].items():
        output.say(f"  {name}: {count} voxels, {count / total:.2%}")
    for kind, path in tables.items():
        output.say(f"{kind:<9} {path}")


def recipe(size: str, voxel: str, seed: int, params: list[str]) -> PhantomSpec:
    """Return the recipe that the options describe.

    Raises
    ------
    InvalidRequestError
        Something does not fit; the message names it.
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
    """Make a phantom and write it as two volumes that lie on each other."""
    from cryomamba.synth import LABELS, synthesize
    from cryomamba.volumes import MaskWriter, open_volume, write_volume

    phantom = synthesize(spec)
    write_volume(tomogram, phantom.density, phantom.voxel_size_A, label=f"synthetic tomogram, seed {spec.seed}")
    with open_volume(tomogram) as volume, MaskWriter(truth, volume, labels=max(LABELS), engine="truth") as mask:
        mask.write(0, 0, 0, phantom.ground_truth)
    return phantom


def _picked(spec: PhantomSpec) -> list[Kind]:
    """Return of which kinds a phantom may have any."""
    counts: dict[Kind, int | None] = {"particles": spec.particles, "filaments": spec.filaments}
    return [kind for kind, count in counts.items() if count != 0]


def write_places(phantom: Phantom, tables: dict[Kind, Path], tomogram: Path) -> None:
    """Write where particles and centre lines of filaments are, in the columns of an engine's table.

    Every score is 255. Of a filament that leaves the volume, the points inside are written.
    """
    from cryomamba.picks import TomogramInfo, write_csv

    frame = TomogramInfo(phantom.spec.shape, phantom.voxel_size_A, tomogram.name)
    for kind, path in tables.items():
        write_csv(_places(phantom, kind), path, frame)


def _places(phantom: Phantom, kind: Kind) -> Picks:
    import numpy as np

    from cryomamba.picks import Picks

    lines = [*phantom.filaments_A] if kind == "filaments" else [phantom.particles_A]
    places = np.concatenate([np.empty((0, 3)), *lines]) / phantom.voxel_size_A
    labels = np.repeat(np.arange(1, len(lines) + 1), [len(line) for line in lines])
    inside = np.all((places >= -0.5) & (places < np.array(phantom.spec.shape) - 0.5), axis=1)
    return Picks(places, np.full(len(places), 255.0), labels, kind).select(inside)


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
