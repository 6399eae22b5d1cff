"""Networks that stay loaded in a process, from window to window and from job to job."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from cryomamba.trained_models.model import Model
from cryomamba_inference.torch_networks.loaders import LOADERS

if TYPE_CHECKING:
    from torch.nn import Module

Array = npt.NDArray[Any]
_MODELS_MAX: Final = 2
_loaded: OrderedDict[tuple[Any, ...], tuple[Module, ...]] = OrderedDict()
_loading = threading.Lock()
_this_thread = threading.local()


def networks_of(model: Model, device: str) -> tuple[Module, ...]:
    """Return the networks of a model; the last models stay loaded, until their files change.

    For several threads, each of which computes a window by itself: there are as many as cores, and the order of
    summation must not depend on their number.
    """
    import torch

    # PyTorch keeps the number of threads for each thread that computes.
    if not getattr(_this_thread, "limited", False):
        torch.set_num_threads(1)
        _this_thread.limited = True
    key = (model.description.kind, device, *((str(model.folder / name), *_stamp(model, name)) for name in model.files))
    with _loading:
        if key not in _loaded:
            _loaded[key] = tuple(network.to(device) for network in LOADERS[model.description.kind](model))
            while len(_loaded) > _MODELS_MAX:
                _loaded.popitem(last=False)
        _loaded.move_to_end(key)
        return _loaded[key]


def run_network(network: Module, tensor: Array, device: str = "cpu") -> Array:
    """Return the output of a network for an input; of several outputs, the first."""
    import torch

    with torch.inference_mode():
        output = network(torch.from_numpy(tensor).to(device))
        output = output[0] if isinstance(output, list | tuple) else output
        return np.asarray(output.float().cpu())


def _stamp(model: Model, name: str) -> tuple[int, int]:
    status = (model.folder / name).stat()
    return status.st_mtime_ns, status.st_size
