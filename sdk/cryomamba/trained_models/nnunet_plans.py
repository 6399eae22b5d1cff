"""What an nnU-Net v2 results folder states of its network, from ``plans.json`` and ``dataset.json``. Pure.

nnU-Net has axes of its own, a permutation of those of the file (``transpose_forward``); here all is z, y, x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cryomamba.trained_models.description import ModelDescription
from cryomamba.trained_models.normalization import Clip, Fixed, Linear, ScaleRange, Step, ZeroMeanUnitVariance
from cryomamba.trained_models.problems import invalid_model, validation_problems

PLANS, DATASET = "plans.json", "dataset.json"
_AXES: Final = ("z", "y", "x")
_FULL_RESOLUTION: Final = "3d_fullres"
_IGNORE: Final = "ignore"
STAGES_MAX: Final = 16
"""Levels of the deepest network: with one more, it is refused when it is built."""
_INHERITED_MAX: Final = 8
_TINY: Final = 1e-8  # nnU-Net's least standard deviation

Axis = Literal["z", "y", "x"]


class _Part(BaseModel):
    """A part of a file of nnU-Net; what is not used is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Configuration(_Part):
    patch_size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    normalization_schemes: tuple[str, ...] = Field(min_length=1)
    use_mask_for_norm: tuple[bool, ...] = Field(min_length=1)
    previous_stage: str | None = None


class _Intensities(_Part):
    mean: float
    std: float
    percentile_00_5: float
    percentile_99_5: float


@dataclass(frozen=True, slots=True)
class NnunetPlans:
    """A configuration of nnU-Net.

    Attributes
    ----------
    configuration : str
        Its name in the plans, such as ``3d_fullres``.
    architecture : mapping
        Class of the network and its options, as nnU-Net writes them.
    order : tuple of int
        ``transpose_forward``: which axis of z, y, x each axis of the network is.
    description : ModelDescription
    """

    configuration: str
    architecture: Mapping[str, Any]
    order: tuple[int, int, int]
    description: ModelDescription


def parse_plans(
    plans: Mapping[str, Any],
    dataset: Mapping[str, Any],
    weights: Sequence[str],
    name: str,
    *,
    configuration: str | None = None,
    mirrored: Sequence[int] | None = None,
) -> NnunetPlans:
    """Return what the files of a results folder state.

    Parameters
    ----------
    plans, dataset : mapping
        Contents of ``plans.json`` and ``dataset.json``.
    weights : sequence of str
        The checkpoints of all folds, relative to the folder.
    name : str
        Of the model, for messages.
    configuration : str, optional
        The one that was trained, as the checkpoint states it; ``3d_fullres`` if it is not known.
    mirrored : sequence of int, optional
        Axes of the network that may be mirrored, as the checkpoint states them; all if it is not known.

    Raises
    ------
    InvalidRequestError
        A file is incomplete, or the network needs what is not done here: several channels, regions, a cascade,
        sections, normalization inside a mask.
    """
    chosen = configuration or _FULL_RESOLUTION
    try:
        entry = _configuration(plans, chosen)
        parsed = _Configuration.model_validate(entry)
        order = _order(plans)
        return NnunetPlans(
            chosen, _architecture(entry), order, _description(parsed, plans, dataset, weights, order, mirrored)
        )
    except ValidationError as error:
        raise invalid_model(name, validation_problems(error, PLANS, ())) from None
    except _UnsupportedError as error:
        raise invalid_model(name, [str(error)], hint=error.hint) from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise invalid_model(name, [f"{PLANS} or {DATASET} is incomplete: {str(error)[:100]}"]) from None


class _UnsupportedError(Exception):
    def __init__(self, problem: str, hint: str = "Run it in nnU-Net itself.") -> None:
        super().__init__(problem)
        self.hint = hint


def _configuration(plans: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a configuration with what it inherits."""
    known = plans["configurations"]
    found: dict[str, Any] = {}
    for _ in range(_INHERITED_MAX):
        if name not in known:
            raise _UnsupportedError(f"{PLANS} has no configuration '{name[:64]}'", f"It has: {', '.join(known)}.")
        found = dict(known[name]) | found
        if not (parent := known[name].get("inherits_from")):
            break
        name = parent
    if len(found.get("patch_size", ())) == 2:
        raise _UnsupportedError(
            "it is a network for single sections (2d)", "Train and use the configuration 3d_fullres."
        )
    return found


def _order(plans: Mapping[str, Any]) -> tuple[int, int, int]:
    first, second, third = (int(axis) for axis in plans.get("transpose_forward", (0, 1, 2)))
    if {first, second, third} != {0, 1, 2}:
        raise ValueError("transpose_forward")
    return first, second, third


def _architecture(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    if "architecture" in entry:
        return dict(entry["architecture"])
    # Plans of the first releases of version 2 describe the U-Net by other names.
    kind = entry["UNet_class_name"]
    stages = min(len(entry["n_conv_per_stage_encoder"]), STAGES_MAX + 1)
    widest, first = entry["unet_max_num_features"], entry["UNet_base_num_features"]
    return {
        "network_class_name": kind,
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": [min(first * 2**stage, widest) for stage in range(stages)],
            "conv_op": "torch.nn.Conv3d",
            "kernel_sizes": entry["conv_kernel_sizes"],
            "strides": entry["pool_op_kernel_sizes"],
            "n_conv_per_stage" if kind == "PlainConvUNet" else "n_blocks_per_stage": entry["n_conv_per_stage_encoder"],
            "n_conv_per_stage_decoder": entry["n_conv_per_stage_decoder"],
            "conv_bias": True,
            "norm_op": "torch.nn.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "nonlin"],
    }


def _description(
    parsed: _Configuration,
    plans: Mapping[str, Any],
    dataset: Mapping[str, Any],
    weights: Sequence[str],
    order: tuple[int, int, int],
    mirrored: Sequence[int] | None,
) -> ModelDescription:
    if parsed.previous_stage:
        raise _UnsupportedError("it is the second stage of a cascade, which needs the result of another network")
    channels = dataset.get("channel_names", dataset.get("modality", {"0": ""}))
    if len(channels) != 1:
        raise _UnsupportedError(f"it takes {len(channels)} channels, and a tomogram has one")
    spacing = _unpermuted(parsed.spacing, order)
    axes = "".join(_AXES[axis] for axis in order)
    return ModelDescription(
        kind="nnunet",
        title=str(dataset.get("name", plans.get("dataset_name", "")))[:200],
        summary=str(dataset.get("description", ""))[:4000],
        weights=tuple(weights),
        labels=_labels(dataset["labels"]),
        # A spacing of 1 is what a file without a voxel size has.
        voxel_size_A=None if spacing == (1.0, 1.0, 1.0) else spacing,
        window=_unpermuted(parsed.patch_size, order),
        axes=f"bc{axes}",
        output_axes=f"bc{axes}",
        normalization=_normalization(parsed, plans),
        mirror=tuple(_AXES[order[axis]] for axis in ((0, 1, 2) if mirrored is None else mirrored)),
        licence=str(dataset.get("licence", dataset.get("license", "")))[:200],
        citation=str(dataset.get("reference", ""))[:4000],
    )


def _unpermuted(values: tuple[Any, Any, Any], order: tuple[int, int, int]) -> tuple[Any, Any, Any]:
    z, y, x = (values[order.index(axis)] for axis in range(3))
    return z, y, x


def _labels(labels: Mapping[str, Any]) -> dict[int, str]:
    if any(isinstance(value, list) for value in labels.values()):
        raise _UnsupportedError("its labels are overlapping regions, and a mask has one label for each voxel")
    return {int(value): str(label)[:64] for label, value in labels.items() if label != _IGNORE and int(value) > 0}


def _normalization(parsed: _Configuration, plans: Mapping[str, Any]) -> tuple[Step, ...]:
    scheme = parsed.normalization_schemes[0]
    if parsed.use_mask_for_norm[0] and scheme == "ZScoreNormalization":
        raise _UnsupportedError("it normalizes inside a mask of the voxels that are not 0 (use_mask_for_norm)")
    if scheme == "CTNormalization":
        key = "foreground_intensity_properties_per_channel"
        found = _Intensities.model_validate(
            plans.get(key, plans.get("foreground_intensity_properties_by_modality"))["0"]
        )
        limits = Clip(min=found.percentile_00_5, max=found.percentile_99_5)
        return limits, Fixed(mean=found.mean, std=max(found.std, _TINY))
    known: dict[str, tuple[Step, ...]] = {
        "ZScoreNormalization": (ZeroMeanUnitVariance(eps=_TINY),),
        "RescaleTo01Normalization": (ScaleRange(eps=_TINY),),
        "RGBTo01Normalization": (Linear(gain=1 / 255),),
        "NoNormalization": (),
    }
    if scheme not in known:
        raise _UnsupportedError(f"its normalization '{scheme[:64]}' is not known here")
    return known[scheme]
