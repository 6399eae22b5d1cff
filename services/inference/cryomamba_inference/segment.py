"""Segmentation on this machine in one line: :func:`cryomamba.segment`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryomamba import notebook
from cryomamba.engines.registry import Registry
from cryomamba.errors import InvalidRequestError, VolumeError
from cryomamba.file_names import stem
from cryomamba.geometry import Spacing
from cryomamba.models.events import PreviewEvent, ProgressEvent
from cryomamba.models.jobs import PreviewOptions, Progress, SubmitRequest, VolumeSource
from cryomamba.models.statistics import Row, statistics_rows
from cryomamba.output_paths import MRC, names_folder, output_in, require_outputs
from cryomamba.printable import file_text
from cryomamba_inference.local import LocalRunner


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A finished mask on this machine; in a notebook it shows a slice and a table.

    Attributes
    ----------
    mask : Path
        An MRC file on the grid of the tomogram.
    engine : str
    statistics : list of dict
        One flat row for each label; ``pandas.DataFrame(result.statistics)`` makes a table. Lengths are in ångström.
    instances : list of dict
        The same for each connected component, the largest first, at most a thousand.
    """

    mask: Path
    engine: str
    statistics: list[Row] = field(repr=False)
    instances: list[Row] = field(repr=False)

    def _repr_html_(self) -> str:
        rows = {"Engine": self.engine, "Mask": self.mask}
        rows |= {row["name"]: f"{row['voxels']:,} voxels, {row['volume_nm3']:.6g} nm³" for row in self.statistics}
        try:
            return notebook.card(self.mask.name, rows, notebook.slice_of_file(self.mask))
        except (VolumeError, OSError):
            # The file has been moved or removed since.
            return notebook.card(self.mask.name, rows)


def segment(
    path: str | os.PathLike[str],
    *,
    engine: str | None = None,
    output: str | os.PathLike[str] | None = None,
    voxel_size_A: Spacing | None = None,
    within: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], None] | None = None,
    **params: Any,  # noqa: ANN401 (each engine has its own; they are checked against its schema)
) -> Segmentation:
    """Segment a tomogram on this machine; blocks until it is done.

    Parameters
    ----------
    path : path
        An MRC file, also compressed with gzip or bzip2.
    engine : str, optional
        The default engine if not given.
    output : path, optional
        The mask: an MRC file, or a folder for ``<tomogram>__<engine>.mrc`` (a name that ends with a slash is one, and
        is created); the working folder if not given. A mask that is there is replaced, but never the tomogram.
    voxel_size_A : tuple of float, optional
        Ångström (z, y, x), in place of the header's.
    within : path, optional
        A mask on the tomogram's grid, such as one of a lamella or a cell; only where it is not 0 is the tomogram
        segmented and measured.
    progress : callable, optional
        Called in this thread with the progress of the work.
    **params
        The engine's parameters.

    Returns
    -------
    Segmentation

    Raises
    ------
    VolumeError
        The tomogram cannot be used.
    InvalidRequestError
        There is no such engine, a parameter does not fit, the mask is empty or not on the tomogram's grid, or the
        output cannot be written.
    JobFailedError
        The engine failed. Nothing is left behind.
    """
    tomogram = Path(path)
    name = engine or Registry.discover_one(None).default
    if name is None:
        raise InvalidRequestError("No engine is installed.", hint="'cryomamba doctor' shows what is missing.")
    target = output_in(output, f"{stem(tomogram)}__{name}.mrc", MRC)
    folder = target.parent if output is not None and names_folder(output) else None
    inputs = [tomogram, *([] if within is None else [Path(within)])]
    require_outputs([target], inputs=inputs, replace=True, folder=folder)

    def on_event(event: ProgressEvent | PreviewEvent) -> None:
        if progress is not None and isinstance(event, ProgressEvent):
            progress(event.progress)

    source = VolumeSource(path=file_text(tomogram), voxel_size_A=voxel_size_A)
    # Nobody sees previews, so that none but the last is made.
    request = SubmitRequest(volume=source, engine=name, params=params, preview=PreviewOptions(interval_s=60))
    result = LocalRunner().run(
        tomogram,
        request,
        output=target,
        on_event=on_event,
        cancelled=lambda: False,
        within=None if within is None else Path(within),
    )
    labels = statistics_rows(result.statistics)
    return Segmentation(result.mask, name, labels, statistics_rows(result.statistics, "instances"))
