"""``deposit``: masks and picks in a folder for the CryoET Data Portal."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryomamba_cli import output
from cryomamba_cli.masks import progress_bar
from cryomamba_cli.options import Force, Json

if TYPE_CHECKING:
    from cryomamba.deposition import AnnotationFolder


def deposit(
    results: Annotated[
        list[Path], typer.Argument(metavar="MASK.mrc|PICKS.csv…", help="Masks, and picks: .csv, .star or .mod.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder to write; created if missing.")],
    about: Annotated[
        Path | None,
        typer.Option(
            "--about", metavar="FILE.toml", help="TOML file with authors, dates, and identifiers of the objects."
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="NAME", help="Tilt series; the tomogram's name if not given.")
    ] = None,
    tomogram: Annotated[
        Path | None,
        typer.Option("--tomogram", help="For picks: the tomogram; the mask next to the table if not given."),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write masks and picks, with their metadata, as a folder for a deposition to the CryoET Data Portal.

    Anything that the portal requires and that is missing is listed at the end.
    """
    from cryomamba.deposition import AnnotationFolder, DepositionAbout, read_about
    from cryomamba.picks import READABLE

    folder = AnnotationFolder(out, read_about(about) if about is not None else DepositionAbout())
    written: list[Path] = []
    for result in results:
        if result.suffix.lower() in READABLE:
            written += _picks(folder, result, run, tomogram, replace=force)
        else:
            written += _mask(folder, result, run, replace=force, shown=not json)
    missing = list(dict.fromkeys(folder.missing))
    if json:
        output.document({"files": [str(path) for path in written], "missing": missing})
        return
    for path in written:
        output.say(str(path))
    if missing:
        output.note("Still missing for a deposition:")
    for one in missing:
        output.note(f"  {one}")


def _mask(folder: AnnotationFolder, path: Path, run: str | None, *, replace: bool, shown: bool) -> Sequence[Path]:
    from cryomamba.file_names import split_result_name
    from cryomamba.volumes import LabelVolume, open_volume
    from cryomamba.volumes.label_names import names_in
    from cryomamba_cli.copick_export import labels_in

    tomogram, feature = split_result_name(path)
    written = []
    with open_volume(path) as volume:
        mask = LabelVolume.of(volume, name=path.name)
        names, labels = names_in(mask.meta.labels), labels_in(mask)
        for label in labels:
            fallback = feature or "mask"
            name = names.get(label, fallback if len(labels) == 1 else f"{fallback} {label}")
            with progress_bar(f"writing {name}", shown=shown) as progress:
                written.append(
                    folder.add_mask(
                        run or tomogram,
                        mask.only(label),
                        name,
                        method=_method(path, feature, mask.meta.labels),
                        replace=replace,
                        progress=progress,
                    )
                )
    return written


def _picks(
    folder: AnnotationFolder, path: Path, run: str | None, tomogram: Path | None, *, replace: bool
) -> Sequence[Path]:
    from cryomamba.file_names import split_result_name
    from cryomamba_cli.export import read_table

    picks, frame = read_table(path, tomogram, None, filaments=False)
    name, feature = split_result_name(path.with_suffix(""))
    method = _method(path.with_suffix(".mrc"), feature, ())
    return [folder.add_picks(run or name, picks, frame, feature or picks.kind, method=method, replace=replace)]


def _method(mask: Path, feature: str, header: Sequence[str]) -> str:
    """Return how a mask was made: by the record that a batch wrote beside it, else by its header and its name."""
    recipe = _recipe(mask.with_name(f"{mask.name}.json"))
    if recipe:
        params = ", ".join(f"{name}={value}" for name, value in sorted(dict(recipe.get("parameters") or {}).items()))
        return f"{recipe.get('engine', feature)} ({params})" if params else str(recipe.get("engine", feature))
    own = next((line for line in reversed(header) if line.startswith("CryoMamba")), "")
    return own or f"CryoMamba, {feature or 'segmentation'}"


def _recipe(path: Path) -> dict[str, Any]:
    try:
        recipe = jsonlib.loads(path.read_text("utf-8")).get("recipe")
    except (OSError, ValueError, AttributeError):
        return {}
    return recipe if isinstance(recipe, dict) else {}
