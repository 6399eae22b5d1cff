"""Engines of other frameworks' networks: what their own programs give, and a sentence for what cannot be run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from tests.models.networks import membrain_checkpoint, membrain_network, nnunet_folder, plans, tomogram, trained
from tests.models.test_torch_networks import Bomb, Writer

from cryomamba.engines.registry import Registry
from cryomamba.engines.windows import WindowEngine
from cryomamba.errors import CryoMambaError, InvalidRequestError
from cryomamba.models.jobs import SubmitRequest, VolumeSource
from cryomamba.volumes import write_volume
from cryomamba_inference.engines.membrain import MembrainEngine, MembrainParameters
from cryomamba_inference.local import LocalRunner
from cryomamba_inference.trained_models.check import check_model

VOXEL_A = 10.0
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    # nnU-Net's own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:nnunetv2"),
]


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYOMAMBA_HOME", str(tmp_path / "home"))


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    """Threads that wait for one another on a busy machine take a multiple of the time."""
    torch.set_num_threads(1)


def segmented(folder: Path, density: Any, engine: str, model: Path, processes: int = 1, **params: Any) -> Any:
    """Segment a tomogram as a job does, and return the mask."""
    path = folder / "t.mrc"
    write_volume(path, iter([density]), VOXEL_A, shape=density.shape)
    request = SubmitRequest(volume=VolumeSource(path=str(path)), engine=engine, params={"model": str(model)} | params)
    result = LocalRunner(processes).run(
        path,
        request,
        output=folder / f"mask{processes}.mrc",
        on_event=lambda _: None,
        cancelled=lambda: False,
        formats=["uncertainty"] if params.get("uncertainty") else [],
    )
    return mrcfile.read(result.mask)


def by_nnunet(folder: Path, density: Any, folds: tuple[int, ...], *, mirroring: bool) -> Any:
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False, use_mirroring=mirroring)
    predictor.initialize_from_trained_model_folder(str(folder), folds)
    return predictor.predict_single_npy_array(density[None], {"spacing": [VOXEL_A] * 3})


@pytest.fixture(scope="module")
def networks() -> Mapping[int, Any]:
    """Two trained networks, for two folds."""
    entry = plans()["configurations"]["3d_fullres"]["architecture"]
    return {fold: trained(entry, seed=fold) for fold in (0, 1)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spacing", "folds", "mirroring"),
    [(VOXEL_A, (0, 1), False), (VOXEL_A, (0,), True), (12.5, (0,), False), (9.0, (1,), False)],
    ids=["folds", "mirroring", "coarser", "finer"],
)
def test_labels_are_those_of_nnunet(
    spacing: float, folds: tuple[int, ...], mirroring: bool, networks: Mapping[int, Any], tmp_path: Path
) -> None:
    """In 99.99 % of the voxels, with several folds, mirrored windows, and a network of another voxel size.

    nnU-Net adds windows up in half precision; a tie falls to the other side.
    """
    contents = plans(spacing=(spacing,) * 3)
    folder = nnunet_folder(tmp_path / "net", contents, folds, make=lambda _entry, seed: networks[seed])
    density, labels = tomogram((40, 44, 48), seed=5)
    expected = by_nnunet(folder, density, folds, mirroring=mirroring)
    found = segmented(tmp_path, density, "nnunet", folder, mirroring=mirroring)
    assert np.mean((found > 0) == (labels > 0)) > 0.9, "the network has learned nothing, so ties are everywhere"
    assert (found != expected).sum() <= max(found.size // 10_000, 1)


def test_results_do_not_depend_on_processes(tmp_path: Path) -> None:
    """The mask has the same bytes from one process and from two."""
    folder = nnunet_folder(tmp_path / "net")
    density, _ = tomogram((40, 72, 48), seed=6)
    one = segmented(tmp_path, density, "nnunet", folder, mirroring=False)
    assert np.array_equal(segmented(tmp_path, density, "nnunet", folder, 2, mirroring=False), one)
    assert one.any()


def test_membrain_predicts_as_its_own_network(tmp_path: Path) -> None:
    """A window's logits are those of MemBrain-seg's network, which sees x, y, z."""
    network = membrain_network()
    path = membrain_checkpoint(tmp_path / "lab.ckpt", network)
    engine = MembrainEngine(MembrainParameters(model=str(path)))
    assert (engine.window, engine.network_voxel_size_A, engine.output) == ((160,) * 3, (10.0,) * 3, "scores")
    window = np.random.default_rng(2).normal(size=(32, 64, 96)).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(window.transpose(2, 1, 0).copy())[None, None])[0][0].numpy()
    found = engine.predict_window(window, 0)
    np.testing.assert_allclose(found, expected.transpose(0, 3, 2, 1), rtol=1e-4, atol=1e-5)


def torchscript_folder(folder: Path, **fields: str) -> Path:
    """A model whose logits are a smooth density and its negative."""
    folder.mkdir()
    network = torch.nn.Conv3d(1, 2, 3, padding=1)
    torch.nn.init.constant_(network.weight, 1 / 27)
    network.weight.data[0] *= -1
    torch.nn.init.zeros_(network.bias)
    torch.jit.script(network.eval()).save(str(folder / "net.pt"))
    settings = {
        "kind": '"torchscript"',
        "weights": '"net.pt"',
        "window": "16",
        "labels": '{ 1 = "bright" }',
        "normalization": '"zero_mean_unit_variance"',
    } | fields
    (folder / "model.toml").write_text("\n".join(f"{name} = {value}" for name, value in settings.items()))
    return folder


def test_torchscript_is_run(tmp_path: Path) -> None:
    """The mask is what the network says; the check of models agrees that it can be run."""
    model = torchscript_folder(tmp_path / "net")
    density = np.random.default_rng(1).normal(0, 0.1, (20, 24, 20)).astype(np.float32)
    density[5:15, 5:15, 5:15] += 5
    found = segmented(tmp_path, density, "torchscript", model)
    assert found[7:13, 7:13, 7:13].all()
    assert not found[:3].any()
    assert check_model(model).problems == ()


@pytest.mark.parametrize("kind", ["nnunet", "membrain"])
def test_a_check_runs_a_window(kind: str, tmp_path: Path) -> None:
    """A folder or checkpoint as it is passes the check of models, or is refused by it in words."""
    if kind == "nnunet":
        model = nnunet_folder(tmp_path / "net")
        damaged = model / "fold_0" / "checkpoint_final.pth"
    else:
        (tmp_path / "net").mkdir()
        model = tmp_path / "net"
        damaged = membrain_checkpoint(model / "lab.ckpt")
        (model / "model.toml").write_text('kind = "membrain"\nweights = "lab.ckpt"\nscores = "sigmoid"\nwindow = 64\n')
        with (model / "model.toml").open("a") as file:
            file.write('labels = { 1 = "membrane" }\n')
    found = check_model(model)
    assert found.problems == ()
    assert any("voxels gives scores" in sentence for sentence in found.passed)
    torch.save({"network_weights": {}, "state_dict": {}}, damaged)
    assert check_model(model).problems


def test_a_check_says_what_a_network_of_torch_does_not_take(tmp_path: Path) -> None:
    """A window that the network's levels do not divide, and tensors that it cannot multiply: a sentence."""
    model = nnunet_folder(tmp_path / "net", plans(patch=(30, 30, 30)))
    (problem,) = check_model(model).problems
    assert problem.startswith("The network cannot be used")
    script = torchscript_folder(tmp_path / "script", axes='"zyx"')
    (problem,) = check_model(script).problems
    assert problem.startswith("The network cannot be used")
    assert len(problem) < 300


@pytest.mark.parametrize("kind", ["nnunet", "membrain", "torchscript"])
def test_a_hostile_model_ends_its_job_with_a_sentence(kind: str, tmp_path: Path) -> None:
    """The job fails with a sentence and what to do, in a process of its own, and nothing in the model was run."""
    trace = tmp_path / "trace"
    if kind == "nnunet":
        model = nnunet_folder(tmp_path / "net", logging=Bomb(trace))
    elif kind == "membrain":
        model = tmp_path / "net.ckpt"
        torch.save({"state_dict": {"_model.a": Bomb(trace)}}, model)
    else:
        model = torchscript_folder(tmp_path / "net")
        torch.jit.script(Writer(str(trace))).save(str(model / "net.pt"))
        (tmp_path / "trace.load").unlink(missing_ok=True)
    density, _ = tomogram((40, 72, 48), seed=6)
    with pytest.raises(CryoMambaError) as failed:
        segmented(tmp_path, density, kind, model, processes=2)
    assert "It was not" in failed.value.message
    assert failed.value.hint
    assert not [item for item in tmp_path.iterdir() if item.name.startswith("trace")]


@pytest.mark.parametrize("kind", ["nnunet", "membrain", "torchscript"])
def test_the_uncertainty_is_that_of_the_network(kind: str, tmp_path: Path) -> None:
    """In percent, where one window has the whole tomogram: the entropy of the probabilities that the network gives; the
    same bytes from one process and from two, and the mask is the one without it."""
    side = 64 if kind == "membrain" else 32
    density = tomogram((side,) * 3, seed=9)[0]
    if kind == "nnunet":
        model = nnunet_folder(tmp_path / "net")
    elif kind == "torchscript":
        model = torchscript_folder(tmp_path / "net", window="32")
    else:
        model = tmp_path / "net"
        model.mkdir()
        membrain_checkpoint(model / "lab.ckpt")
        fields = (
            'kind = "membrain"\nweights = "lab.ckpt"\nscores = "sigmoid"\nwindow = 64\nlabels = { 1 = "membrane" }\n'
        )
        (model / "model.toml").write_text(f'{fields}normalization = "zero_mean_unit_variance"\n')
    plain = segmented(tmp_path, density, kind, model, mirroring=False)
    found = []
    for processes in (1, 2):
        mask = segmented(tmp_path, density, kind, model, processes, mirroring=False, uncertainty=True)
        assert np.array_equal(mask, plain)
        found.append(mrcfile.read(tmp_path / f"mask{processes}_uncertainty.mrc"))
    assert np.array_equal(*found)
    engine = Registry.discover().create(kind, {"model": str(model), "mirroring": False})
    assert isinstance(engine, WindowEngine)
    normalized = (density - density.mean()) / density.std()
    p = engine.probabilities(engine.predict_window(normalized.astype(np.float32), 0)).astype(np.float64)
    p = p if engine.scoring == "softmax" else np.concatenate([1 - p, p])
    entropy = -(p * np.log(np.maximum(p, 1e-12))).sum(axis=0) / np.log(len(p))
    assert np.abs(found[0] - 100 * entropy).max() <= 1.5
    assert found[0].max() > 30


def test_a_network_that_does_not_fit_ends_its_job_with_a_sentence(tmp_path: Path) -> None:
    """Labels that the network does not have are named."""
    model = torchscript_folder(tmp_path / "net", labels='{ 1 = "a", 2 = "b", 3 = "c" }')
    with pytest.raises(CryoMambaError, match="returned scores of shape"):
        segmented(tmp_path, tomogram((20, 20, 20))[0], "torchscript", model)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics processor")
def test_a_graphics_processor_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Without CUDA, device=gpu is refused before anything is computed."""
    with pytest.raises(InvalidRequestError, match="no graphics processor"):
        MembrainEngine(MembrainParameters(model=str(membrain_checkpoint(tmp_path / "lab.ckpt")), device="gpu"))
