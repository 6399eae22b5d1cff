"""The network of MemBrain-seg, built from its checkpoint.

MemBrain-seg trains MONAI's ``DynUNet`` with residual blocks. Its numbers of channels are those of the weights; heads
that serve training alone are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryomamba.optional_imports import requires_extra
from cryomamba_inference.torch_networks.checkpoint import Weights, damaged, numpy_scalars, read_checkpoint

if TYPE_CHECKING:
    from torch.nn import Module

_PREFIX: Final = "_model."
_STRIDES: Final = (1, 2, 2, 2, 2, 2)
_KERNELS: Final = (3,) * len(_STRIDES)
MULTIPLE: Final = (32, 32, 32)
"""Of these each side of a window must be a multiple."""
_CHANNELS_MAX: Final = 4096


def load_membrain(path: Path) -> Module:
    """Return the network of a checkpoint, ready to predict; it takes and gives (batch, 1, z, y, x).

    Raises
    ------
    InvalidRequestError
        ``invalid_parameters``: it is no checkpoint of MemBrain-seg.
    """
    state = read_checkpoint(path, numpy_scalars(), extra="membrain").get("state_dict")
    if not isinstance(state, dict):
        raise damaged(path, "it is not a checkpoint of MemBrain-seg")
    weights = {str(name).removeprefix(_PREFIX): value for name, value in state.items() if str(name).startswith(_PREFIX)}
    with requires_extra("membrain"):
        import torch
        from monai.networks.nets import DynUNet
    with torch.device("meta"):
        network = DynUNet(
            spatial_dims=3,
            in_channels=1,
            out_channels=1,
            kernel_size=_KERNELS,
            strides=_STRIDES,
            upsample_kernel_size=_STRIDES[1:],
            filters=_channels(weights, path),
            res_block=True,
        )
    wanted = network.state_dict()
    missing = [name for name, value in wanted.items() if getattr(weights.get(name), "shape", None) != value.shape]
    if missing:
        raise damaged(path, f"its network is not that of MemBrain-seg ('{missing[0]}' is missing or of another shape)")
    network.load_state_dict({name: weights[name].float() for name in wanted}, assign=True)
    return network.eval()


def _channels(weights: Weights, path: Path) -> list[int]:
    names = ["input_block", *(f"downsamples.{level}" for level in range(len(_STRIDES) - 2)), "bottleneck"]
    found = [weights.get(f"{name}.conv1.conv.weight") for name in names]
    sizes = [value.shape[0] for value in found if value is not None and value.ndim == len(_STRIDES) - 1]
    if len(sizes) != len(names) or max(sizes) > _CHANNELS_MAX:
        raise damaged(path, "its network is not that of MemBrain-seg")
    return sizes
