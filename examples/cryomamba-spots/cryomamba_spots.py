"""Dark spots of one diameter, by the Laplacian of a Gaussian."""

import numpy as np
from pydantic import Field
from scipy import ndimage

from cryomamba.engines import ArrayEngine, EngineParameters, Found, Spacing, Voxels


class SpotsParameters(EngineParameters):
    diameter_A: float = Field(
        100.0, ge=20, le=1000, title="Diameter", description="Diameter of a spot.", json_schema_extra={"unit": "Å"}
    )


class SpotsEngine(ArrayEngine[SpotsParameters]):
    name = "spots"
    summary = "Finds dark spots of one diameter."
    Parameters = SpotsParameters
    labels = {1: "spot"}
    output = "scores"
    keeps_scores = True

    def reach_A(self) -> float:
        return self.parameters.diameter_A  # the Gaussian ends at 3 of its standard deviations, which is less

    def segment(self, data: Voxels, voxel_size_A: Spacing) -> Found:
        sigma = [self.parameters.diameter_A / (2 * np.sqrt(3)) / size for size in voxel_size_A]
        response = ndimage.gaussian_laplace(data, sigma, truncate=3.0, mode="nearest") * np.mean(sigma) ** 2
        return np.asarray(np.clip(response / 4, 0, 1))  # 4: of a spot that is darker by 4 standard deviations or so
