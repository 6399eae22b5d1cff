"""``synth``: a synthetic tomogram and its ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryomamba.errors import InvalidRequestError
from cryomamba.file_names import stem
from cryomamba.output_paths import MRC, output_file, require_outputs
from cryomamba_cli import output
from cryomamba_cli.options import Force, Json, Parameters, numbers, shape
from cryomamba_cli.result_paths import result_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cryomamba.picks import Kind, Picks
    from cryomamba.synth import Phantom, PhantomSpec


DEFAULT_SHAPE, DEFAULT_VOXEL_A = "128,256,256", "10"


def _list_families(asked: bool) -> None:
    if asked:
        from cryomamba.synth import FAMILIES

        output.facts([(name, family.description) for name, family in FAMILIES.items()])
        raise typer.Exit


FamilyName = Annotated[
    str | None, typer.Option("--family", metavar="NAME", help="Kind of phantom; --list-families shows them.")
]
FromLabels = Annotated[
    Path | None,
    typer.Option(
        "--from-labels",
        metavar="LABELS",
        help="Draw membranes where this mask has labels; the labels are the ground truth.",
    ),
]
MembraneLabels = Annotated[
    list[int] | None,
    typer.Option("--label", metavar="N", help="Label of LABELS that is membrane; may be repeated. All, if not given."),
]
Size = Annotated[
    str | None,
    typer.Option(
        "--shape",
        metavar="Z,Y,X",
        help="Size in voxels: one number, or three as z,y,x. That of LABELS, or 128,256,256, if not given.",
    ),
]
Voxel = Annotated[
    str | None,
    typer.Option(
        "--voxel-size",
        metavar="Å",
        help="Voxel size in Å: one number, or three as z,y,x. That of LABELS, or 10, if not given.",
    ),
]
GroundTruth = Annotated[
    str | None,
    typer.Option(
        "--truth", metavar="PATH", help="Ground-truth mask to write; OUT__truth.mrc next to the tomogram if not given."
    ),
]
ListFamilies = Annotated[
    bool, typer.Option("--list-families", is_eager=True, callback=_list_families, help="List the families and exit.")
]


def synth(
    out: Annotated[str, typer.Argument(metavar="OUT.mrc", help="Tomogram to write (MRC).")],
    family: FamilyName = None,
    from_labels: FromLabels = None,
    label: MembraneLabels = None,
    size: Size = None,
    voxel: Voxel = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same tomogram.")] = 0,
    param: Parameters = None,
    truth: GroundTruth = None,
    _listed: ListFamilies = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a synthetic tomogram with its ground truth: a mask, and tables of particle and filament coordinates."""
    tomogram = output_file(out, MRC)
    mask = result_path(tomogram, "truth") if truth is None else output_file(truth, MRC)
    given = [*([] if family is None else [f"family={_known_family(family)}"]), *(param or [])]
    labels, inputs = None, () if from_labels is None else (from_labels,)
    if from_labels is not None:
        labels, size, voxel = _read_labels(from_labels, label or [], size, voxel)
        # The labels are the truth wherever they are, unless a lamella is asked for.
        given += [] if any(one.startswith("lamella=") for one in given) else ["lamella=1"]
    spec = phantom_spec(size or DEFAULT_SHAPE, voxel or DEFAULT_VOXEL_A, seed, given)
    tables = {kind: mask.with_name(f"{stem(mask)}_{kind}.csv") for kind in _pick_kinds(spec)}
    require_outputs((tomogram, mask, *tables.values()), inputs=inputs, replace=force)
    if not json:
        output.note(f"Generating {output.triple(spec.shape)} voxels of {output.triple(spec.voxel_size_A)} Å …")
    phantom = write_phantom(spec, tomogram, mask, labels)
    write_coordinates(phantom, tables, tomogram)
    _report(phantom, tomogram, mask, tables, json=json)


def _report(phantom: Phantom, tomogram: Path, mask: Path, tables: dict[Kind, Path], *, json: bool) -> None:
    fields = _fields(phantom, tomogram, mask, tables)
    if json:
        output.document(fields)
        return
    files = [("tomogram", tomogram), ("ground truth", mask), *tables.items()]
    output.facts([(name, str(path)) for name, path in files])
    for name, count in fields["voxels"].items():
        output.say(f"  {name}: {count:,} voxels, {count / phantom.ground_truth.size:.2%}")


def _known_family(name: str) -> str:
    from cryomamba.suggestions import did_you_mean
    from cryomamba.synth.families import FAMILIES

    if name not in FAMILIES:
        names = ", ".join(FAMILIES)
        raise InvalidRequestError(
            f"There is no family '{name}'.",
            hint=f"{did_you_mean(name, FAMILIES)}The families are {names}; --list-families describes them.",
        )
    return name


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
        raise invalid_fields(error, hint="'cryomamba synth --help' explains the options.") from None


def _read_labels(
    path: Path, wanted: list[int], size: str | None, voxel: str | None
) -> tuple[NDArray[np.bool_], str, str]:
    """Return which voxels of a mask have a wanted label (any but 0 if none is given), its shape and its voxel size."""
    import numpy as np

    from cryomamba.volumes import LabelVolume, inspect, open_volume

    if size is not None:
        raise InvalidRequestError(
            "--shape and --from-labels do not go together.", hint="Leave --shape out: the shape is that of the labels."
        )
    with open_volume(path) as volume:
        values = LabelVolume.of(volume).read_native(slice(None), slice(None), slice(None))
        triple = ",".join(f"{edge:.6g}" for edge in volume.voxel_size_A)
    if voxel is None and any(warning.code == "voxel_size_missing" for warning in inspect(path).warnings):
        raise InvalidRequestError(f"'{path}' does not state its voxel size.", hint="Give it with --voxel-size.")
    inside = np.isin(values, wanted) if wanted else values != 0
    if not inside.any():
        named = f"label{'s' if len(wanted) > 1 else ''} {' or '.join(map(str, wanted))}" if wanted else "labels"
        raise InvalidRequestError(f"'{path}' has no voxels with {named}.", hint="'cryomamba measure' lists its labels.")
    return inside, ",".join(map(str, inside.shape)), voxel or triple


def write_phantom(spec: PhantomSpec, tomogram: Path, truth: Path, labels: NDArray[np.bool_] | None = None) -> Phantom:
    """Generate a phantom, from labels if given, and write its density and its ground truth on the same grid."""
    from cryomamba.synth import LABELS, synthesize
    from cryomamba.volumes import MaskWriter, open_volume, write_volume

    phantom = synthesize(spec, labels)
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
