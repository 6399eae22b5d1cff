"""Networks of nnU-Net, built from plans and checkpoints.

Plans name the classes that a network is made of. Only those of nnU-Net's architectures and of ``torch.nn`` are looked
up; nnU-Net itself would import whatever the plans name.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.geometry import Shape
from cryomamba.optional_imports import requires_extra
from cryomamba.trained_models.nnunet_plans import STAGES_MAX
from cryomamba_inference.torch_networks.checkpoint import damaged, numpy_scalars, read_checkpoint

if TYPE_CHECKING:
    from torch.nn import Module

ARCHITECTURES: Final = ("PlainConvUNet", "ResidualEncoderUNet", "ResidualUNet")
_NUMBER_MAX: Final = 4096
"""The largest number that options of a network may have: channels, layers of a level, sizes of kernels."""
_LAYERS: Final = ("n_conv_per_stage", "n_blocks_per_stage", "n_conv_per_stage_decoder")
_LAYERS_MAX: Final = 64
"""Layers of a level."""
_POSITIVE: Final = ("strides", "kernel_sizes", "features_per_stage", "n_stages")
_OF_TORCH: Final = re.compile(r"torch\.nn\.(modules\.[a-z_]+\.)?(?P<name>[A-Z][A-Za-z0-9]*)")


def load_nnunet(checkpoint: Path, architecture: Mapping[str, Any], channels: int) -> Module:
    """Return the network of one fold, ready to predict; it takes (batch, 1, …) and gives (batch, channels, …).

    Parameters
    ----------
    checkpoint : Path
        ``fold_N/checkpoint_final.pth``.
    architecture : mapping
        The entry ``architecture`` of a configuration in ``plans.json``.
    channels : int
        Of the output: labels and background.

    Raises
    ------
    InvalidRequestError
        ``invalid_parameters``: the network cannot be built, or the checkpoint is broken or of another network.
    """
    weights = read_checkpoint(checkpoint, numpy_scalars(), extra="nnunet").get("network_weights")
    if not isinstance(weights, dict):
        raise damaged(checkpoint, "it is not a checkpoint of nnU-Net")
    network = _build(architecture, channels)
    # Networks compiled in training have this in front of each name.
    state = {str(name).removeprefix("module.").removeprefix("_orig_mod."): value for name, value in weights.items()}
    try:
        network.load_state_dict({name: value.float() for name, value in state.items()}, strict=True, assign=True)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise damaged(checkpoint, "its weights do not fit the network in plans.json") from error
    return network.eval()


def window_multiple(architecture: Mapping[str, Any]) -> Shape:
    """Return of what each side of a window must be a multiple, in the order of the network's axes."""
    try:
        strides = [[int(factor) for factor in stage] for stage in architecture["arch_kwargs"]["strides"]]
        first, second, third = (math.prod(axis) for axis in zip(*strides, strict=True))
    except (KeyError, TypeError, ValueError) as error:
        raise _unknown("a network without the strides of its levels", "Check that the file is complete.") from error
    return first, second, third


def _build(architecture: Mapping[str, Any], channels: int) -> Module:
    with requires_extra("nnunet"):
        import torch
        from dynamic_network_architectures.architectures import unet
    name = str(architecture.get("network_class_name", "")).rpartition(".")[2]
    if name not in ARCHITECTURES:
        raise _unknown(f"the network '{name[:80]}'", f"The networks are: {', '.join(ARCHITECTURES)}.")
    network = getattr(unet, name)
    options = dict(architecture.get("arch_kwargs", {}))
    for key in architecture.get("_kw_requires_import", ()):
        if options.get(key) is not None:
            options[key] = _of_torch(str(options[key]))
    options |= {"input_channels": 1, "num_classes": channels, "deep_supervision": False}
    try:
        if int(options["n_stages"]) > STAGES_MAX:
            raise ValueError("too many stages")
        _require_bounded(options)
        inspect.signature(network).bind(**options)
        # Nothing is allocated before the weights are known to fit.
        with torch.device("meta"):
            built: Module = network(**options)
    except (
        LookupError,
        TypeError,
        ValueError,
        RuntimeError,
        AssertionError,
        AttributeError,
        ArithmeticError,
        MemoryError,
    ) as error:
        raise _unknown("a network with options that do not fit it", "Check that the file is complete.") from error
    return built


def _require_bounded(value: object, key: str = "") -> None:
    """Refuse numbers for which building the network, layer by layer, would not end."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            _require_bounded(each, str(name))
    elif isinstance(value, list | tuple):
        if len(value) > STAGES_MAX:
            raise ValueError(f"{key} has more entries than a network has levels")
        for each in value:
            _require_bounded(each, key)
    elif isinstance(value, int | float) and abs(value) > (_LAYERS_MAX if key in _LAYERS else _NUMBER_MAX):
        raise ValueError(f"{key} is too large")
    elif isinstance(value, int) and key in _POSITIVE and value < 1:
        raise ValueError(f"{key} is too small")


def _of_torch(path: str) -> type[Module]:
    from torch import nn

    match = _OF_TORCH.fullmatch(path)
    found = getattr(nn, match["name"], None) if match else None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise _unknown(f"'{path[:80]}', which is not a layer of PyTorch", "Nothing else is imported from plans.")
    return found


def _unknown(what: str, hint: str) -> InvalidRequestError:
    return InvalidRequestError(f"plans.json names {what}.", code=ErrorCode.INVALID_PARAMETERS, hint=hint)
