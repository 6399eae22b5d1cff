"""Classes of density, by the program ``mrc-kmeans``."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from cryomamba.engines import EngineParameters, ProgramEngine, ProgramFiles


class KmeansParameters(EngineParameters):
    classes: int = Field(
        3, ge=2, le=5, title="Classes", description="Number of classes of density, with the background."
    )
    smooth_A: float = Field(
        20.0,
        ge=0,
        le=500,
        title="Smoothing",
        description="Of a Gaussian applied first.",
        json_schema_extra={"unit": "Å"},
    )


class KmeansEngine(ProgramEngine[KmeansParameters]):
    name = "kmeans"
    summary = "Sorts voxels into classes of density: label 1 is the darkest."
    Parameters = KmeansParameters
    program = "mrc-kmeans"
    install = "pip install cryomamba-kmeans"
    labels = {1: "class 1"}

    def __init__(self, parameters: KmeansParameters) -> None:
        super().__init__(parameters)
        self.labels = {label: f"class {label}" for label in range(1, parameters.classes)}

    def arguments(self, files: ProgramFiles) -> Sequence[str | Path | float]:
        wanted = self.parameters
        return [files.tomogram, files.output, "--classes", wanted.classes, "--smooth", wanted.smooth_A]
