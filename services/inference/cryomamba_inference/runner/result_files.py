"""The mask of a job and, on request, the uncertainty of each voxel, while they are written."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryomamba.engines.api import Engine, Labels
from cryomamba.engines.artifacts import MASK, UNCERTAINTY
from cryomamba.engines.uncertainty import wants_uncertainty
from cryomamba.volumes import HeaderFields, MaskWriter
from cryomamba_inference.runner.sink import Store
from cryomamba_inference.tiling import Box
from cryomamba_inference.uncertainty import uncertainty_writer


class ResultFiles:
    """Writes both files; a context manager that discards them on an error.

    Attributes
    ----------
    mask : MaskWriter
    uncertainty : MaskWriter or None
        None if it was not requested.
    """

    def __init__(self, engine: Engine[Any], folder: Path, header: HeaderFields) -> None:
        with ExitStack() as files:
            largest, name = max(engine.labels), engine.name
            mask = MaskWriter(folder / MASK.name, header, labels=largest, engine=name, names=engine.labels)
            self.mask = files.enter_context(mask)
            self.uncertainty: MaskWriter | None = None
            if wants_uncertainty(engine):
                path = folder / UNCERTAINTY.name
                self.uncertainty = files.enter_context(uncertainty_writer(path, header, name))
            # The second may not fit on the disk; then the first is discarded.
            self._files = files.pop_all()

    def store_labels(self, box: Box, labels: Labels) -> None:
        """Write the labels of a box."""
        self.mask.write(*box.start, labels)

    @property
    def store_uncertainty(self) -> Store | None:
        """Where the uncertainty of each box goes; None if it was not requested."""
        writer = self.uncertainty
        return None if writer is None else lambda box, percent: writer.write(*box.start, percent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, traceback)
