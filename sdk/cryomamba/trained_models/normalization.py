"""The steps by which densities are normalized before a model sees them, as a model's description states them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Over = Literal["volume", "window"]
Percentile = Annotated[float, Field(ge=0, le=100)]


class _Step(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ZeroMeanUnitVariance(_Step):
    """Subtract the mean and divide by the standard deviation, of the volume or of each window.

    Attributes
    ----------
    over : {'volume', 'window'}
        Of what mean and deviation are taken.
    eps : float
        Added to the deviation.
    """

    step: Literal["zero_mean_unit_variance"] = "zero_mean_unit_variance"
    over: Over = "volume"
    eps: float = Field(1e-6, ge=0, le=0.1)


class ScaleRange(_Step):
    """Map two percentiles, of the volume or of each window, to 0 and 1; values beyond them are not clipped."""

    step: Literal["scale_range"] = "scale_range"
    over: Over = "volume"
    min_percentile: Percentile = 0.0
    max_percentile: Percentile = 100.0
    eps: float = Field(1e-6, ge=0, le=0.1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_percentile >= self.max_percentile:
            raise ValueError("min_percentile must be below max_percentile")
        return self


class Fixed(_Step):
    """Subtract a given mean and divide by a given standard deviation."""

    step: Literal["fixed"] = "fixed"
    mean: float
    std: float = Field(gt=0)


class Linear(_Step):
    """Multiply by `gain`, then add `offset`."""

    step: Literal["linear"] = "linear"
    gain: float = 1.0
    offset: float = 0.0


class Clip(_Step):
    """Limit values to a range, or to two percentiles of the volume or of each window.

    Attributes
    ----------
    min, max : float or None
        The limits; None for no limit.
    min_percentile, max_percentile : float or None
        In place of them.
    """

    step: Literal["clip"] = "clip"
    over: Over = "volume"
    min: float | None = None
    max: float | None = None
    min_percentile: Percentile | None = None
    max_percentile: Percentile | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.min is not None and self.min_percentile is not None) or (
            self.max is not None and self.max_percentile is not None
        ):
            raise ValueError("give a limit as a value or as a percentile, not both")
        limits = (self.min, self.max, self.min_percentile, self.max_percentile)
        if limits == (None,) * 4:
            raise ValueError("give at least one limit")
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError("min must be below max")
        if (
            self.min_percentile is not None
            and self.max_percentile is not None
            and self.min_percentile >= self.max_percentile
        ):
            raise ValueError("min_percentile must be below max_percentile")
        return self


Step = Annotated[ZeroMeanUnitVariance | ScaleRange | Fixed | Linear | Clip, Field(discriminator="step")]
