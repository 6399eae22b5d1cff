"""Checkpoints give the networks that their own programs make of them, and run nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.networks import architecture, build, membrain_checkpoint, membrain_network, nnunet_folder, plans

from cryomamba.errors import InvalidRequestError
from cryomamba.trained_models.model import read_model
from cryomamba.trained_models.nnunet_folder import read_plans
from cryomamba_inference.torch_networks.checkpoint import numpy_scalars, read_checkpoint
from cryomamba_inference.torch_networks.membrain import load_membrain
from cryomamba_inference.torch_networks.nnunet import load_nnunet
from cryomamba_inference.torch_networks.torchscript import load_torchscript

# TorchScript is on its way out of PyTorch, and labs have files of it.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


class Bomb:
    """What a pickle can be made to do: call a function while it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def noise(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).normal(size=(1, 1, *shape)).astype(np.float32))


@pytest.mark.parametrize("kind", ["PlainConvUNet", "ResidualEncoderUNet"])
def test_a_fold_of_nnunet_gives_its_network(kind: str, tmp_path: Path) -> None:
    """The network computes what nnU-Net's own class computes with the weights."""
    folder = nnunet_folder(tmp_path / "net", plans(architecture=architecture(kind)))
    found = read_plans(folder, "net")
    network = load_nnunet(folder / "fold_0/checkpoint_final.pth", found.architecture, 3)
    with torch.inference_mode():
        expected = build(architecture(kind)).eval()(noise(32, 32, 32))[0]
        assert torch.equal(network(noise(32, 32, 32)), expected)


def test_plans_of_the_first_releases_mean_the_same(tmp_path: Path) -> None:
    """A configuration that describes its U-Net by the older names gives the same network."""
    old: dict[str, Any] = {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 8,
        "unet_max_num_features": 32,
        "n_conv_per_stage_encoder": [1, 1, 1],
        "n_conv_per_stage_decoder": [1, 1],
        "conv_kernel_sizes": [[3, 3, 3]] * 3,
        "pool_op_kernel_sizes": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
    }
    contents = plans(**old)
    folder = nnunet_folder(tmp_path / "new")
    found = read_plans(folder, "new")
    del contents["configurations"]["3d_fullres"]["architecture"]
    (folder / "plans.json").write_text(json.dumps(contents))
    again = read_plans(folder, "new")
    checkpoint = folder / "fold_0/checkpoint_final.pth"
    with torch.inference_mode():
        expected = load_nnunet(checkpoint, found.architecture, 3)(noise(16, 16, 16))
        assert torch.equal(load_nnunet(checkpoint, again.architecture, 3)(noise(16, 16, 16)), expected)


def test_a_results_folder_is_a_model(tmp_path: Path) -> None:
    """Its files state labels, window, normalization and mirroring; nothing has to be written beside them."""
    contents = plans(spacing=(8.0, 10.0, 12.0), patch=(16, 32, 48), order=(2, 0, 1))
    folder = nnunet_folder(
        tmp_path / "net", contents, folds=(0, 3), licence="CC-BY-4.0", inference_allowed_mirroring_axes=(0, 2)
    )
    model = read_model(folder)
    described = model.description
    assert described.kind == "nnunet"
    assert described.labels == {1: "membrane", 2: "ribosome"}
    assert described.weights == ("fold_0/checkpoint_final.pth", "fold_3/checkpoint_final.pth")
    # The network's axes are x, z, y of the file.
    assert described.axes == "bcxzy"
    assert described.window == (32, 48, 16)
    assert described.voxel_size_A == (10.0, 12.0, 8.0)
    assert described.mirror == ("x", "y")
    assert [step.step for step in described.normalization] == ["zero_mean_unit_variance"]
    assert described.licence == "CC-BY-4.0"
    assert model.info().needs == "nnunet"


def test_the_configuration_is_the_one_that_was_trained(tmp_path: Path) -> None:
    """Plans have several configurations; the checkpoint states which one it is of."""
    contents = plans(spacing=(8.0, 8.0, 8.0))
    arguments = {"plans": contents, "configuration": "3d_lowres", "fold": 0}
    folder = nnunet_folder(tmp_path / "net", contents, init_args=arguments)
    assert read_plans(folder, "net").configuration == "3d_lowres"
    assert read_model(folder).description.voxel_size_A == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"use_mask_for_norm": [True]}, "normalizes inside a mask"),
        ({"normalization_schemes": ["OwnNormalization"]}, "'OwnNormalization' is not known here"),
        ({"previous_stage": "3d_lowres"}, "second stage of a cascade"),
        ({"patch_size": [32, 32]}, "single sections"),
        ({"patch_size": "large"}, r"'patch_size.*' is invalid"),
        ({"inherits_from": "nothing"}, "no configuration 'nothing'"),
    ],
)
def test_plans_that_cannot_be_followed_are_refused(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    """The error says what the network needs that is not done here."""
    folder = nnunet_folder(tmp_path / "net", plans(**changed))
    with pytest.raises(InvalidRequestError, match=message):
        read_model(folder)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"network_class_name": "os.system"}, "the network 'system'"),
        ({"network_class_name": 5}, "the network '5'"),
        ({"arch_kwargs": {"n_stages": 10**9}}, "options that do not fit"),
        ({"arch_kwargs": architecture()["arch_kwargs"] | {"conv_op": "os.system"}}, "not a layer of PyTorch"),
        ({"arch_kwargs": architecture()["arch_kwargs"] | {"conv_op": "torch.nn.init"}}, "not a layer of PyTorch"),
        (
            {"arch_kwargs": architecture()["arch_kwargs"] | {"features_per_stage": [10**6] * 3}},
            "options that do not fit",
        ),
    ],
    ids=["function", "number", "stages", "import", "module", "size"],
)
def test_plans_name_only_networks(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Nothing is imported or allocated because plans name it: only architectures of nnU-Net and layers of PyTorch."""
    folder = nnunet_folder(tmp_path / "net")
    with pytest.raises(InvalidRequestError, match=message):
        load_nnunet(folder / "fold_0/checkpoint_final.pth", architecture() | changed, 3)


def test_a_checkpoint_of_membrain_gives_its_network(tmp_path: Path) -> None:
    """The network computes what MemBrain-seg's own class computes with the weights."""
    original = membrain_network()
    network = load_membrain(membrain_checkpoint(tmp_path / "net.ckpt", original))
    with torch.inference_mode():
        expected = original(noise(64, 32, 64))[0]
        torch.testing.assert_close(network(noise(64, 32, 64)), expected, rtol=1e-6, atol=1e-6)


def test_the_published_size_of_membrain_is_built(tmp_path: Path) -> None:
    """A checkpoint with the channels of MemBrain-seg's releases is read."""
    network = load_membrain(membrain_checkpoint(tmp_path / "net.ckpt", membrain_network((32, 64, 128, 256, 512, 1024))))
    assert sum(parameter.numel() for parameter in network.parameters()) > 50_000_000


LOADERS: dict[str, Callable[[Path], Any]] = {
    "nnunet": lambda path: load_nnunet(path, architecture(), 3),
    "membrain": load_membrain,
    "torchscript": load_torchscript,
}


@pytest.mark.parametrize("kind", LOADERS)
def test_a_hostile_checkpoint_runs_nothing(kind: str, tmp_path: Path) -> None:
    """A pickle that would call a function is refused before it does, and the error names the function."""
    trace, path = tmp_path / "trace", tmp_path / "net.pth"
    bomb = Bomb(trace)
    torch.save({"network_weights": {"a": bomb}, "state_dict": {"_model.a": bomb}}, path)
    with pytest.raises(InvalidRequestError) as refused:
        LOADERS[kind](path)
    assert not trace.exists()
    if kind != "torchscript":
        assert "mkdir" in refused.value.message
        assert "state_dict()" in refused.value.hint
    torch.load(path, weights_only=False)
    assert trace.exists(), "the bomb is none"


class Writer(torch.nn.Module):
    """A TorchScript program that writes a file when it is loaded, and another one when it runs."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        torch.save(tensor, self.path + ".forward")
        return tensor

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        torch.save(self.path, self.path + ".load")


def test_hostile_torchscript_runs_nothing(tmp_path: Path) -> None:
    """A program that writes files is refused before any part of it runs, also what runs on loading."""
    torch.jit.script(Writer(str(tmp_path / "trace"))).save(str(tmp_path / "net.pt"))
    (tmp_path / "trace.load").unlink(missing_ok=True)
    with pytest.raises(InvalidRequestError, match="does more than compute: its program uses 'save'"):
        load_torchscript(tmp_path / "net.pt")
    assert [item.name for item in tmp_path.iterdir()] == ["net.pt"]
    torch.jit.load(str(tmp_path / "net.pt"))
    assert (tmp_path / "trace.load").exists(), "the program is harmless"


@pytest.mark.parametrize("way", ["script", "trace"])
def test_torchscript_gives_its_network(way: str, tmp_path: Path) -> None:
    """A scripted or traced network of common layers computes what it computed before."""
    network = torch.nn.Sequential(
        torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.InstanceNorm3d(4), torch.nn.LeakyReLU(), torch.nn.Conv3d(4, 2, 1)
    ).eval()
    saved = torch.jit.script(network) if way == "script" else torch.jit.trace(network, noise(8, 8, 8))
    saved.save(str(tmp_path / "net.pt"))
    with torch.inference_mode():
        assert torch.equal(load_torchscript(tmp_path / "net.pt")(noise(12, 8, 8)), network(noise(12, 8, 8)))


@pytest.mark.parametrize("kind", ["nnunet", "membrain"])
def test_weights_that_are_larger_than_their_file_are_refused(kind: str, tmp_path: Path) -> None:
    """A tensor of one stored number that repeats it 2⁴⁰ times is refused before anything copies it."""
    path = tmp_path / "net.pth"
    many = torch.zeros(1).expand(1 << 20, 1 << 20)
    torch.save({"network_weights": {"a": many}, "state_dict": {"_model.a": many}}, path)
    assert path.stat().st_size < 10_000
    with pytest.raises(InvalidRequestError, match="larger than what is stored"):
        LOADERS[kind](path)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("n_conv_per_stage", [10**9, 1, 1]),
        ("n_conv_per_stage_decoder", [10**9, 1]),
        ("features_per_stage", [10**12, 1, 1]),
        ("features_per_stage", [1] * 10**6),
        ("kernel_sizes", [[10**9] * 3] * 3),
        ("strides", [[0, 0, 0]] * 3),
        ("n_stages", 10**9),
        ("norm_op_kwargs", {"eps": 1e400}),
        ("nonlin", "torch.nn.Transformer"),
        ("conv_op", "torch.nn.Linear"),
        ("conv_op", "os.system"),
    ],
)
def test_plans_of_a_network_without_end_are_refused(option: str, value: Any, tmp_path: Path) -> None:
    """Layers by the thousand million, channels of terabytes, and modules that are no layers: a sentence, at once."""
    entry = architecture()
    entry["arch_kwargs"][option] = value
    with pytest.raises(InvalidRequestError):
        load_nnunet(nnunet_folder(tmp_path / "net") / "fold_0/checkpoint_final.pth", entry, 3)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(300), b"\x80\x02}q\x00.", b"text"])
@pytest.mark.parametrize("kind", LOADERS)
def test_a_broken_file_is_refused_in_words(kind: str, content: bytes, tmp_path: Path) -> None:
    """A file that is empty, cut or of another kind ends in a sentence that names it."""
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(InvalidRequestError, match=r"'net\.pth'"):
        LOADERS[kind](path)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    """Weights that do not fit the network are refused, whatever program they are of."""
    folder = nnunet_folder(tmp_path / "net")
    fold = folder / "fold_0/checkpoint_final.pth"
    with pytest.raises(InvalidRequestError, match="do not fit the network"):
        load_nnunet(fold, architecture(features=16), 3)
    with pytest.raises(InvalidRequestError, match="not a checkpoint of MemBrain-seg"):
        load_membrain(fold)
    with pytest.raises(InvalidRequestError, match="not a checkpoint of nnU-Net"):
        load_nnunet(membrain_checkpoint(tmp_path / "m.ckpt"), architecture(), 3)


def test_only_numbers_of_numpy_are_allowed(tmp_path: Path) -> None:
    """A checkpoint may hold numbers of NumPy; arrays of objects and other classes are refused."""
    torch.save({"a": np.float64(0.5), "b": np.int64(3), "c": np.float32(1.5)}, tmp_path / "numbers.pth")
    found = read_checkpoint(tmp_path / "numbers.pth", numpy_scalars(), extra="torch")
    assert found == {"a": 0.5, "b": 3, "c": 1.5}
    torch.save({"a": np.array([Path("/")])}, tmp_path / "objects.pth")
    with pytest.raises(InvalidRequestError, match="contains more than weights"):
        read_checkpoint(tmp_path / "objects.pth", numpy_scalars(), extra="torch")
