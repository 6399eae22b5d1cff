"""``models convert``: models of other frameworks become ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cryomamba_cli import output
from cryomamba_cli.options import Json, numbers, shape

if TYPE_CHECKING:
    from cryomamba_inference.conversion.convert import Conversion

EXAMPLES: Final = (
    "Examples:\n\n  cryomamba models convert net.h5 -o models/net --label membrane --voxel-size 13.5\n\n"
    "  cryomamba models convert nnUNetTrainer__nnUNetPlans__3d_fullres -o models/lab\n\n"
    "  cryomamba models convert MemBrain_seg_v10.ckpt -o models/membrain"
)


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE", help="Keras file (.h5), MemBrain-seg checkpoint (.ckpt) or nnU-Net results folder."
        ),
    ],
    out: Annotated[str, typer.Option("--out", "-o", metavar="FOLDER", help="Folder to make; it must not exist.")],
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="NAME",
            help="Name of a label, without the background; repeat it for each, in the order of the network's output.",
        ),
    ] = None,
    voxel: Annotated[
        str | None,
        typer.Option(
            "--voxel-size",
            metavar="Å",
            help="Voxel size that the model was trained for, if the file does not state it: one number, "
            "or three as z,y,x.",
        ),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            "--window", metavar="Z,Y,X", help="Voxels that the model sees at once: one number, or three as z,y,x."
        ),
    ] = None,
    title: Annotated[str, typer.Option("--title", help="Display name of the model.")] = "",
    licence: Annotated[str, typer.Option("--licence", help="Licence of the weights, such as CC-BY-4.0.")] = "",
    json: Json = False,
) -> None:
    """Convert a model of another framework to ONNX with a sidecar (model.toml), on this machine.

    Nothing in the file is executed. Keras is not needed; nnU-Net and MemBrain-seg need their extras.
    """
    from cryomamba.optional_imports import requires_extra

    with requires_extra("convert"):
        import onnx  # noqa: F401 (said before anything is read)

        from cryomamba_inference.conversion.convert import ConversionOptions, convert_model
    options = ConversionOptions(
        title=title,
        licence=licence,
        labels=tuple(label or ()),
        voxel_size_A=None if voxel is None else numbers(voxel, option="--voxel-size"),
        window=None if window is None else shape(window, option="--window"),
    )
    _show(convert_model(source.expanduser(), Path(out).expanduser(), options), json=json)


def _show(conversion: Conversion, *, json: bool) -> None:
    described = conversion.description
    if json:
        facts = {"folder": str(conversion.folder), "deviation": conversion.deviation}
        output.document(facts | described.model_dump(mode="json"))
        return
    names = ", ".join(f"{number} {name}" for number, name in described.labels.items())
    count = len(described.weights)
    networks = "one network" if count == 1 else f"an ensemble of {count} networks"
    output.say(f"Wrote {conversion.folder}: {networks}, labels {names}.")
    if conversion.deviation is not None:
        output.say(f"Its output deviates from PyTorch's by {conversion.deviation:.1g} standard deviations at most.")
    output.note(f"Check {conversion.folder / 'model.toml'}: labels, voxel size, window, normalization and licence.")
