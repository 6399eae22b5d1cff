"""Loads the networks of a model of each kind; nothing in the files is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from cryomamba.models.trained_models import Kind
from cryomamba.trained_models.model import Model
from cryomamba.trained_models.nnunet_folder import read_plans
from cryomamba_inference.torch_networks.membrain import load_membrain
from cryomamba_inference.torch_networks.nnunet import load_nnunet
from cryomamba_inference.torch_networks.torchscript import load_torchscript

if TYPE_CHECKING:
    from torch.nn import Module


def load_folds(model: Model) -> tuple[Module, ...]:
    """Return the networks of the folds of an nnU-Net results folder."""
    architecture = read_plans(model.folder, model.name).architecture
    return tuple(load_nnunet(path, architecture, model.description.channels) for path in model.weights)


LOADERS: Final[Mapping[Kind, Callable[[Model], tuple[Module, ...]]]] = {
    "torchscript": lambda model: tuple(load_torchscript(path) for path in model.weights),
    "nnunet": load_folds,
    "membrain": lambda model: tuple(load_membrain(path) for path in model.weights),
}
"""By kind, returns the networks of a model, ready to predict, one for each weights file.

They raise :class:`~cryomamba.errors.InvalidRequestError` if a file is broken, hostile or of another network.
"""
