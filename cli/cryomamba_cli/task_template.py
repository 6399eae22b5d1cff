"""What is done with each tomogram of a command: the engine with its parameters, and the files to write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryomamba.geometry import Spacing
from cryomamba_cli.segmentation_task import PriorityName, Task, conversion_paths, export_paths, require_formats

if TYPE_CHECKING:
    from cryomamba.engines.artifacts import ExportFormat
    from cryomamba.engines.info import EngineInfo


@dataclass(frozen=True, slots=True)
class TaskTemplate:
    """All of a task but its tomogram and its mask.

    Attributes
    ----------
    info : EngineInfo
    params : mapping
    size : tuple of float or None
        Å along z, y, x, in place of the header's.
    within : Path or None
        A mask on the tomogram's grid: where to segment.
    name : str
        A name for the job.
    nifti, nrrd, scores : bool
        Whether to write the mask in these formats, and the score map.
    formats : tuple of str
        Further formats of the results.
    model : Path or None
        Folder for the model that the engine trains.
    priority : {'low', 'normal', 'high'}
        Of the job on a server.
    """

    info: EngineInfo
    params: Mapping[str, Any] = field(default_factory=dict)
    size: Spacing | None = None
    within: Path | None = None
    name: str = ""
    nifti: bool = False
    nrrd: bool = False
    scores: bool = False
    formats: tuple[str, ...] = ()
    model: Path | None = None
    priority: PriorityName = "normal"

    def require_formats(self) -> None:
        """Check the formats that were asked for.

        Raises
        ------
        InvalidRequestError
            A format is unknown, or the engine does not make it.
        """
        require_formats(self.formats, picks=self.info.picks is not None or "csv" in self._requested())

    def _requested(self) -> Sequence[ExportFormat]:
        from cryomamba.engines.artifacts import requested_formats

        return requested_formats(self.info.parameters, self.params)

    def task(self, tomogram: Path, mask: Path) -> Task:
        """Return the task of a tomogram."""
        exports = export_paths(
            mask,
            nifti=self.nifti,
            nrrd=self.nrrd,
            scores=self.scores,
            picks=self.info.picks is not None,
            requested=self._requested(),
            formats=self.formats,
        )
        conversions = conversion_paths(mask, self.formats)
        return Task(
            tomogram,
            mask,
            self.info.name,
            self.params,
            self.size,
            self.within,
            self.name,
            exports,
            conversions,
            self.model,
            self.priority,
        )
