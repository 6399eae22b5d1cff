"""What the engines that run networks of PyTorch have in common."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import ClassVar, Final, Generic, Literal, TypeVar

from pydantic import Field

from cryomamba.engines.api import Availability, Voxels
from cryomamba.engines.windows import Scores
from cryomamba.errors import ErrorCode, InvalidRequestError, JobFailedError
from cryomamba.optional_imports import requires_extra
from cryomamba.trained_models.model import EXTRAS
from cryomamba_inference.torch_networks.loaded import networks_of, run_network
from cryomamba_inference.trained_models.engine import DescribedEngine, ModelParameters
from cryomamba_inference.trained_models.tensors import to_scores, to_tensor

_DETAIL_MAX: Final = 300


class TorchParameters(ModelParameters):
    """Parameters of all engines that run networks of PyTorch; a subclass adds ``model``."""

    device: Literal["cpu", "gpu"] = Field(
        "cpu",
        title="Device",
        description="Where the network runs: 'gpu' needs PyTorch's build with CUDA; results may differ in single "
        "voxels.",
    )


class MirroredParameters(TorchParameters):
    """Parameters of engines whose networks were made to be mirrored; a subclass adds ``model``."""

    mirroring: bool = Field(
        default=True,
        title="Mirroring",
        description="Average the scores of all mirrored windows, along the axes that the training allowed, as the "
        "program that trained the network does: more accurate, and up to 8 times as slow as without.",
    )


P = TypeVar("P", bound=TorchParameters)


class TorchEngine(DescribedEngine[P], Generic[P]):
    """Runs networks of PyTorch. A subclass sets `kind` and `packages`.

    Attributes
    ----------
    packages : sequence of str
        Modules that the extra of this kind of model brings.
    """

    packages: ClassVar[Sequence[str]]

    def __init__(self, parameters: P) -> None:
        super().__init__(parameters)
        _require_device(parameters.device, EXTRAS[self.kind])

    @classmethod
    def availability(cls) -> Availability:
        """Return whether the packages are installed; none is imported."""
        missing = [name for name in cls.packages if importlib.util.find_spec(name) is None]
        if missing:
            return Availability(
                ok=False,
                reason=f"The package {missing[0]} is missing.",
                hint=f"Install it with: pip install 'cryomamba[{EXTRAS[cls.kind]}]'.",
            )
        return Availability()

    def predict_window(self, data: Voxels, member: int) -> Scores:
        """Return the scores of a window by one of the networks."""
        described = self.model.description
        device = "cuda" if self.parameters.device == "gpu" else "cpu"
        network = networks_of(self.model, device)[member]
        try:
            return to_scores(run_network(network, to_tensor(data, described.axes), device), described.output_axes)
        except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise _failed(described.weights[member], error) from None


def _require_device(device: str, extra: str) -> None:
    if device == "cpu":
        return
    with requires_extra(extra):
        import torch
    if not torch.cuda.is_available():
        raise InvalidRequestError(
            "PyTorch finds no graphics processor with CUDA here.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint="Use device=cpu, or install PyTorch's build with CUDA and the driver.",
        )


def _failed(name: str, error: Exception) -> JobFailedError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # TorchScript puts a traceback of its program before the reason.
    detail = (lines[-1] if lines else type(error).__name__)[:_DETAIL_MAX].rstrip(".")
    if "memory" in detail:
        return JobFailedError(
            f"The network '{name}' needs more memory than there is.",
            code=ErrorCode.OUT_OF_MEMORY,
            hint="Use a smaller window in the description of the model, or fewer processes (CRYOMAMBA_PROCESSES).",
        )
    return JobFailedError(
        f"The network '{name}' failed: {detail}.",
        code=ErrorCode.ENGINE_FAILED,
        hint="Check window, axes and labels in the description of the model: 'cryomamba models check FOLDER'.",
    )
