"""Reads PyTorch checkpoints without running code from them.

A checkpoint is a pickle, which can name any function to be called. PyTorch's restricted reader (``weights_only``) makes
tensors and plain containers alone; what else it needs must be allowed by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError  # nosec B403 (the error alone)
from typing import TYPE_CHECKING, Any

import numpy as np

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.optional_imports import requires_extra

if TYPE_CHECKING:
    import torch

Weights = Mapping[str, "torch.Tensor"]


def numpy_scalars() -> list[Any]:
    """Return what a reader must be allowed to make for numbers of NumPy, such as the best score of a training.

    These are the function that makes a scalar of a type and bytes, and types of numbers; none of them runs code.
    """
    from numpy._core.multiarray import scalar

    types = [type(np.dtype(name)) for name in ("bool", "int32", "int64", "float16", "float32", "float64")]
    return [(scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar"), np.dtype, *types]


def read_checkpoint(path: Path, allowed: Sequence[Any] = (), *, extra: str) -> Mapping[str, Any]:
    """Read a checkpoint: a mapping by name.

    Parameters
    ----------
    path : Path
        Tensors stay in the file until they are used.
    allowed : sequence
        What the checkpoint may contain beside tensors and plain containers, as for
        ``torch.serialization.safe_globals``.
    extra : str
        The extra that brings PyTorch, for the message if it is missing.

    Raises
    ------
    InvalidRequestError
        ``invalid_parameters``: the file is not a checkpoint, or contains objects that only its own code can make.
    """
    with requires_extra(extra):
        import torch
    try:
        with torch.serialization.safe_globals(list(allowed)):
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UnpicklingError as error:
        raise _refusal(path, error) from None
    except (RuntimeError, ValueError, KeyError, EOFError, TypeError, AttributeError, OSError, IndexError) as error:
        raise damaged(path, str(error)) from error
    if not isinstance(found, Mapping):
        raise damaged(path, "it does not contain weights by name")
    if _is_larger_than_stored(found):
        raise damaged(path, "it has tensors that are larger than what is stored of them")
    return found


def _is_larger_than_stored(value: object, depth: int = 4) -> bool:
    """Return whether a tensor repeats its elements: a file of some bytes could fill the memory."""
    import torch

    if isinstance(value, Mapping) and depth:
        return any(_is_larger_than_stored(each, depth - 1) for each in value.values())
    if not isinstance(value, torch.Tensor):
        return False
    return bool(value.numel() * value.element_size() > value.untyped_storage().nbytes())


def damaged(path: Path, reason: str) -> InvalidRequestError:
    """Return the error for a file that is not a checkpoint of its kind."""
    return InvalidRequestError(
        f"'{path.name[:128]}' is not a checkpoint that can be used: {reason.partition(chr(10))[0][:200].rstrip('.')}.",
        code=ErrorCode.INVALID_PARAMETERS,
        hint="Check that the file is complete and of the right kind: 'cryomamba models check FOLDER'.",
    )


def _refusal(path: Path, error: Exception) -> InvalidRequestError:
    import torch

    try:
        names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except (RuntimeError, ValueError, UnpicklingError, OSError):
        names = []
    if not names:
        return damaged(path, str(error))
    return InvalidRequestError(
        f"'{path.name[:128]}' contains more than weights, which could run code when it is read: "
        f"{', '.join(name[:80] for name in names[:5])}. It was not opened.",
        code=ErrorCode.INVALID_PARAMETERS,
        hint="If you trust the file, open it where it was made and save the weights alone: "
        "torch.save(network.state_dict(), 'weights.pth').",
    )
