"""Small networks of other frameworks, as their own programs leave them on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dynamic_network_architectures.architectures import unet
from membrain_seg.segmentation.networks.unet import SemanticSegmentationUnet

PATCH = (32, 32, 32)
CONFIGURATION = "3d_fullres"


def architecture(kind: str = "PlainConvUNet", stages: int = 3, features: int = 8) -> dict[str, Any]:
    """The entry `architecture` of a configuration in plans.json."""
    blocks = "n_conv_per_stage" if kind == "PlainConvUNet" else "n_blocks_per_stage"
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{kind}",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": [features * 2**stage for stage in range(stages)],
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[3, 3, 3]] * stages,
            "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
            blocks: [1] * stages,
            "n_conv_per_stage_decoder": [1] * (stages - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def plans(
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    patch: Sequence[int] = PATCH,
    order: Sequence[int] = (0, 1, 2),
    **changed: Any,
) -> dict[str, Any]:
    """The contents of plans.json."""
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(patch),
        "median_image_size_in_voxels": [64, 64, 64],
        "spacing": list(spacing),
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling,
        "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
        "architecture": architecture(),
        "batch_dice": False,
    }
    return {
        "dataset_name": "Dataset500_Membranes",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": list(spacing),
        "original_median_shape_after_transp": [64, 64, 64],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": list(order),
        "transpose_backward": [list(order).index(axis) for axis in range(3)],
        "configurations": {
            "2d": {"patch_size": [32, 32]},
            "3d_lowres": {"inherits_from": CONFIGURATION, "spacing": [2.0, 2.0, 2.0]},
            CONFIGURATION: configuration | changed,
        },
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {"mean": 0.2, "std": 2.0, "percentile_00_5": -3.0, "percentile_99_5": 4.0}
        },
    }


DATASET: dict[str, Any] = {
    "channel_names": {"0": "cryoET"},
    "labels": {"background": 0, "membrane": 1, "ribosome": 2},
    "numTraining": 2,
    "file_ending": ".nii.gz",
    "name": "Membranes",
}


def build(entry: dict[str, Any], channels: int = 3, seed: int = 0) -> Any:
    """Build the network that plans describe, by nnU-Net's own classes."""
    torch.manual_seed(seed)
    options = dict(entry["arch_kwargs"])
    options |= {"conv_op": torch.nn.Conv3d, "norm_op": torch.nn.InstanceNorm3d, "nonlin": torch.nn.LeakyReLU}
    kind = getattr(unet, entry["network_class_name"].rpartition(".")[2])
    return kind(input_channels=1, num_classes=channels, deep_supervision=True, **options)


def nnunet_folder(
    folder: Path,
    contents: dict[str, Any] | None = None,
    folds: Sequence[int] = (0,),
    make: Callable[..., Any] = build,
    licence: str = "",
    **checkpoint: Any,
) -> Path:
    """Write a results folder as a training of nnU-Net leaves it; `make` makes the network of a fold."""
    contents = contents or plans()
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(contents))
    (folder / "dataset.json").write_text(json.dumps(DATASET | ({"licence": licence} if licence else {})))
    for fold in folds:
        network = make(contents["configurations"][CONFIGURATION]["architecture"], seed=fold)
        (folder / f"fold_{fold}").mkdir()
        torch.save(
            {
                "network_weights": network.state_dict(),
                "optimizer_state": torch.optim.SGD(network.parameters(), lr=0.01).state_dict(),
                "grad_scaler_state": {"scale": 65536.0},
                "logging": {"mean_fg_dice": [np.float64(0.5), np.float32(0.6)], "epoch_end_timestamps": [1.5]},
                "_best_ema": np.float64(0.7),
                "current_epoch": 1000,
                "init_args": {"plans": contents, "configuration": CONFIGURATION, "fold": fold, "dataset_json": DATASET},
                "trainer_name": "nnUNetTrainer",
                "inference_allowed_mirroring_axes": (0, 1, 2),
            }
            | checkpoint,
            folder / f"fold_{fold}" / "checkpoint_final.pth",
        )
    return folder


def tomogram(shape: Sequence[int], seed: int = 0) -> tuple[Any, Any]:
    """Return a small tomogram and its labels: dark shells (1) and dark balls (2) in noise."""
    random = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint8)
    nodes = np.indices(shape)
    for _ in range(int(np.prod(shape) / 12_000) + 1):
        centre = random.uniform(0, shape)
        distance = np.sqrt(sum((each - at) ** 2 for each, at in zip(nodes, centre, strict=True)))
        labels[np.abs(distance - random.uniform(8, 12)) < 1.5] = 1
        labels[distance < 3.5] = 2
    density = random.normal(0, 0.3, shape) - (labels > 0) * np.where(labels == 2, 2.0, 1.0)
    return density.astype(np.float32), labels


def trained(entry: dict[str, Any], steps: int = 60, seed: int = 0) -> Any:
    """Return a network that has learned the tomograms above, so that its scores are as clear as those of real ones."""
    network = build(entry, seed=seed).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for step in range(steps):
        density, labels = tomogram(PATCH, seed=1000 + step)
        density = (density - density.mean()) / density.std()
        loss = torch.nn.functional.cross_entropy(
            network(torch.from_numpy(density)[None, None])[0], torch.from_numpy(labels).long()[None]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def membrain_network(channels: Sequence[int] = (4, 8, 8, 8, 8, 8), seed: int = 0) -> Any:
    """MemBrain-seg's own network, narrower than the published one."""
    torch.manual_seed(seed)
    return SemanticSegmentationUnet(channels=list(channels)).eval()


def membrain_checkpoint(path: Path, network: Any | None = None) -> Path:
    """Write a checkpoint as PyTorch Lightning does in a training of MemBrain-seg."""
    network = network or membrain_network()
    best = {
        "best_model_score": torch.tensor(0.5),
        "best_model_path": "/home/lab/best.ckpt",
        "kth_value": np.float64(0.5),
    }
    contents = {
        "epoch": 1000,
        "global_step": 100_000,
        "pytorch-lightning_version": "2.0.1",
        "state_dict": network.state_dict(),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val_loss'}": best},
        "optimizer_states": [torch.optim.SGD(network.parameters(), lr=0.01).state_dict()],
        "lr_schedulers": [],
    }
    torch.save(contents, path)
    return path
