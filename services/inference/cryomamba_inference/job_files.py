"""The files that a job reads: its tomogram or score map, the candidates that belong to scores, and its mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cryomamba.engines.artifacts import SCORES, candidates_path
from cryomamba.geometry import Spacing
from cryomamba.masks.region import Region
from cryomamba.models.jobs import JobRecord, VolumeSummary
from cryomamba.models.masks import MaskSummary
from cryomamba.picks import Picks, read_csv
from cryomamba.settings import Settings
from cryomamba.volumes import FileVersion, Volume, open_volume, resolve_below, verify_opened
from cryomamba_server.uploaded_files import uploaded_volume


@dataclass(frozen=True, slots=True)
class _Location:
    """A file that a job may read, and where it must lie."""

    path: Path
    roots: Sequence[Path]
    closed: Sequence[Path] = ()

    def open(
        self, submitted: VolumeSummary | MaskSummary, scratch: Path, voxel_size_A: Spacing | None = None
    ) -> Volume:
        """Open the file that was submitted; a compressed one is decompressed into `scratch`, which is created."""
        scratch.mkdir(exist_ok=True)
        check = partial(self._require_submitted, submitted)
        return open_volume(self.path, voxel_size_A=voxel_size_A, scratch=scratch, check=check)

    def _require_submitted(self, submitted: VolumeSummary | MaskSummary, descriptor: int) -> None:
        """Refuse an open file that may not be read, or is not the one for which the job was submitted."""
        verify_opened(descriptor, self.path, self.roots, closed=self.closed)
        version = FileVersion.from_text(submitted.version or "")
        if version is not None:
            version.require_same(FileVersion.of(descriptor), submitted.name, "after the job was submitted")


def open_tomogram(record: JobRecord, settings: Settings, folder: Path) -> Volume | None:
    """Open the volume of a job with the voxel size of its record; None for a demo job.

    Parameters
    ----------
    folder : Path
        Working directory of the attempt, for a decompressed copy.
    """
    location = _locate(record.volume, settings, SCORES.name)
    if location is None:
        return None
    volume = location.open(record.volume, folder / "unpacked")
    if volume.voxel_size_A != record.volume.voxel_size_A:
        volume.close()
        volume = location.open(record.volume, folder / "unpacked", record.volume.voxel_size_A)
    return volume


def open_mask(mask: MaskSummary, settings: Settings, folder: Path) -> Volume:
    """Open the mask that limits a job; parameters as for :func:`open_tomogram`."""
    location = _locate(mask, settings, mask.name)
    if location is None:
        raise ValueError("a mask is given by a path, a file or a job")
    return location.open(mask, folder / "unpacked_mask")


def region_of(mask: Volume, record: JobRecord) -> Region:
    """Return the region that an open mask gives; the mask was checked at the submit, but may have been replaced."""
    region = Region.of_volume(mask, record.volume.shape, record.volume.voxel_size_A)
    # An uploaded file has another name on the disk.
    return region if record.within is None else replace(region, name=record.within.name)


def read_candidates(record: JobRecord, settings: Settings) -> Picks | None:
    """Return the candidate picks that belong to the scores that a job re-thresholds."""
    if record.volume.job_id is None:
        return None
    path = candidates_path(settings.artifacts / record.volume.job_id / SCORES.name)
    return read_csv(path) if path.is_file() else None


def _locate(source: VolumeSummary | MaskSummary, settings: Settings, artifact: str) -> _Location | None:
    if source.job_id is not None:
        roots: Sequence[Path] = (settings.artifacts,)
        return _Location(resolve_below(f"{source.job_id}/{artifact}", roots), roots)
    if source.file_id is not None:
        return _Location(uploaded_volume(settings.uploads, source.file_id), (settings.uploads,))
    if source.path is None:
        return None
    closed = settings.own_folders
    return _Location(resolve_below(source.path, settings.roots, closed=closed), settings.roots, closed)
