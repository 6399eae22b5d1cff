"""A job that the user asked for, before it has an id. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryomamba.models.jobs import PreviewOptions
from napari_cryomamba.models.source import Source


@dataclass(frozen=True, slots=True)
class JobSubmission:
    """Tomogram, engine and parameters of a new job.

    Attributes
    ----------
    source : Source
        The voxel size is sent along if the user corrected it.
    engine : str or None
        The server's default if None.
    name : str
        Shown to people; the file name if empty.
    preview_interval_s : float
        Least seconds between two previews.
    within : Path or None
        A mask of the tomogram: where to segment.
    priority : int
        Among the jobs of one owner on a server: -1 low, 0 normal, 1 high.
    """

    source: Source
    engine: str | None
    params: dict[str, Any]
    name: str
    preview_interval_s: float
    within: Path | None = None
    priority: int = 0

    @property
    def title(self) -> str:
        """The job's name."""
        return self.name or self.source.meta.name

    @property
    def preview(self) -> PreviewOptions:
        """How often the job sends previews."""
        return PreviewOptions(interval_s=self.preview_interval_s)

    @property
    def fields(self) -> dict[str, Any]:
        """The arguments of a client's ``submit`` besides the volume."""
        return {
            "voxel_size_A": self.source.meta.voxel_size_A if self.source.corrected else None,
            "engine": self.engine,
            "params": self.params,
            "within": self.within,
            "name": self.title,
            "preview": self.preview,
            "priority": self.priority,
        }
