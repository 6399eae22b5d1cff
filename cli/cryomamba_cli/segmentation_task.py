"""A segmentation task: one tomogram, an engine with its parameters, and the files to write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cryomamba.errors import InvalidRequestError

if TYPE_CHECKING:
    from cryomamba.engines.artifacts import ExportFormat
    from cryomamba.geometry import Spacing


PriorityName = Literal["low", "normal", "high"]


@dataclass(frozen=True, slots=True)
class Task:
    """What to segment, and where the results go.

    Attributes
    ----------
    tomogram : Path
        Need not exist on this machine if a server can read it.
    mask : Path
    engine : str
    params : mapping
    voxel_size_A : tuple of float or None
        Replaces the voxel size of the header (z, y, x).
    within : Path or None
        A mask on the tomogram's grid: where to segment.
    name : str
        A name for the job.
    exports : mapping of str to Path
        Further files that the engine writes, by format.
    conversions : tuple of Path
        Further formats of the mask that this process writes at the end; the extension gives the format.
    model : Path or None
        Folder for the model that the engine trains.
    priority : {'low', 'normal', 'high'}
        Of the job on a server.
    """

    tomogram: Path
    mask: Path
    engine: str
    params: Mapping[str, Any]
    voxel_size_A: Spacing | None = None
    within: Path | None = None
    name: str = ""
    exports: Mapping[ExportFormat, Path] = field(default_factory=dict)
    conversions: tuple[Path, ...] = ()
    model: Path | None = None
    priority: PriorityName = "normal"

    @property
    def inputs(self) -> tuple[Path, ...]:
        """All files that are read: none of them may be written."""
        return (self.tomogram,) if self.within is None else (self.tomogram, self.within)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that are written, the mask first."""
        return (self.mask, *self.exports.values(), *self.conversions)


def model_paths(folder: Path) -> dict[str, Path]:
    """Return the files of a trained model in a folder, by their names among the files of a job."""
    from cryomamba.engines.artifacts import model_files

    return {name: folder / name for name in model_files()}


def export_paths(
    mask: Path,
    *,
    nifti: bool = False,
    nrrd: bool = False,
    scores: bool = False,
    picks: bool = False,
    requested: Sequence[ExportFormat] = (),
    formats: Sequence[str] = (),
) -> dict[ExportFormat, Path]:
    """Return the further files that the engine writes, next to the mask.

    Parameters
    ----------
    mask : Path
    nifti, nrrd, scores : bool
        Whether to write the mask in these formats, and the score map.
    picks : bool
        Whether the engine finds picks; then their table is written, and the candidates with the score map.
    requested : sequence of str
        Formats that the engine's parameters ask for.
    formats : sequence of str
        Further formats of the picks; other formats are ignored.
    """
    from cryomamba.engines.artifacts import EXPORTS, formats_of

    named = {form.lstrip(".") for form in formats}
    wanted: dict[ExportFormat, bool] = {"nifti": nifti, "nrrd": nrrd, "scores": scores, "candidates": scores and picks}
    wanted |= dict.fromkeys(requested, True)
    wanted |= {form: form in named or form in requested or (picks and form == "csv") for form in formats_of("picks")}
    base = mask.name.removesuffix(".mrc")
    return {form: mask.with_name(base + EXPORTS[form].ending) for form, chosen in wanted.items() if chosen}


def conversion_paths(mask: Path, formats: Sequence[str]) -> tuple[Path, ...]:
    """Return the paths next to a mask for formats of masks, given by their extensions, such as ``stl``."""
    from cryomamba.engines.artifacts import formats_of

    base = mask.name.removesuffix(".mrc")
    extensions = (form.lstrip(".") for form in dict.fromkeys(formats))
    return tuple(mask.with_name(f"{base}.{one}") for one in extensions if one not in formats_of("picks"))


def require_formats(formats: Sequence[str], *, picks: bool) -> None:
    """Check the formats that were asked for by their extensions; `picks` is whether there will be any.

    Raises
    ------
    InvalidRequestError
        A format is unknown, or one of picks while there are none.
    """
    from cryomamba.engines.artifacts import formats_of
    from cryomamba.masks.export import EXTENSIONS

    of_picks = formats_of("picks")
    of_masks = tuple(one.lstrip(".") for one in EXTENSIONS if one != ".mrc")
    for form in (one.lstrip(".") for one in formats):
        if form in of_picks and not picks:
            raise InvalidRequestError(
                f"There are no picks to write as '{form}'.",
                hint="Leave the format out, or choose an engine or parameters that give picks.",
            )
        if form not in of_picks and form.lower() not in of_masks:
            raise InvalidRequestError(
                f"Unknown format '{form}'.",
                hint=f"Formats of masks are {', '.join(of_masks)}, and of picks {', '.join(of_picks)}.",
            )


def convert_mask(task: Task) -> None:
    """Write a finished mask in the task's further formats."""
    from cryomamba.masks.export import export
    from cryomamba.volumes import open_volume

    if task.conversions:
        with open_volume(task.mask) as volume:
            for path in task.conversions:
                export(volume, path)
