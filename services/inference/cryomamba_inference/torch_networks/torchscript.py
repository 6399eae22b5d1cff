"""Networks saved as TorchScript.

A TorchScript file is a program, which PyTorch's own interpreter runs. It has no access to Python, but two of its
functions read and write any file. So its source, which the file contains as text, is read before anything of it runs,
and only what a network computes with is accepted.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.optional_imports import requires_extra
from cryomamba_inference.torch_networks.checkpoint import damaged

if TYPE_CHECKING:
    from torch.nn import Module

NAMESPACES: Final = ("aten", "prim", "quantized")
"""Operators of PyTorch that compute; others send messages, record profiles or come from further libraries."""
FILES: Final = ("save", "from_file", "rpc_async", "rpc_sync", "rpc_remote")
"""Functions with access to files or other machines, under whatever name they are called."""
_SOURCE_MAX: Final = 64 * 1024**2


def load_torchscript(path: Path) -> Module:
    """Return the network of a TorchScript file, ready to predict.

    Raises
    ------
    InvalidRequestError
        ``invalid_parameters``: it is not TorchScript, or its program does more than compute.
    """
    with requires_extra("torch"):
        import torch
    require_harmless(path)
    try:
        network = torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError, OSError) as error:
        raise damaged(path, str(error)) from error
    return network.eval()


def require_harmless(path: Path) -> None:
    """Read the program of a TorchScript file without running it.

    Raises
    ------
    InvalidRequestError
        ``invalid_parameters``: it is not TorchScript, or its program does more than compute.
    """
    try:
        for source in _sources(path):
            for node in ast.walk(ast.parse(source)):
                if problem := _problem(node):
                    raise InvalidRequestError(
                        f"'{path.name[:128]}' does more than compute: its program uses {problem}. It was not run.",
                        code=ErrorCode.INVALID_PARAMETERS,
                        hint="Take the part out of the network's code that uses it, and save it with torch.jit.trace.",
                    )
    except (RuntimeError, SyntaxError, ValueError, MemoryError) as error:
        raise damaged(path, "it is not a TorchScript file, or damaged") from error


def _sources(path: Path) -> Iterator[str]:
    import torch

    # PyTorch's own reader: another one could be made to see other contents in the same file.
    archive = torch._C.PyTorchFileReader(str(path))  # noqa: SLF001 (there is no public one)
    names = [name for name in archive.get_all_records() if _is_source(name)]
    if not names:
        raise ValueError("no program")
    size = 0
    for name in names:
        source = archive.get_record(name)
        size += len(source)
        if size > _SOURCE_MAX:
            raise ValueError("a program of this size is not a network")
        yield source.decode()


def _is_source(name: str) -> bool:
    return name.lower().startswith("code/") and name.lower().endswith(".py")


def _problem(node: ast.AST) -> str:
    """Return which function a node names that a network does not need; empty for none."""
    if isinstance(node, ast.Attribute):
        if node.attr in FILES:
            return f"'{node.attr}'"
        owner = node.value
        if isinstance(owner, ast.Attribute) and isinstance(owner.value, ast.Name) and owner.value.id == "ops":
            return "" if owner.attr in NAMESPACES else f"the operators '{owner.attr[:80]}'"
    return f"'{node.id}'" if isinstance(node, ast.Name) and node.id in FILES else ""
