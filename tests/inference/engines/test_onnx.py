"""The engine ``onnx``: what the network says, in any number of processes, and a sentence for what cannot be run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from onnx import helper
from scipy import ndimage
from tests.inference.trained_models.networks import convolution, save, write_toml

from cryomamba.engines.registry import Registry
from cryomamba.errors import CryoMambaError, InvalidRequestError, JobFailedError
from cryomamba.trained_models.folders import ModelFolders, use_model_folders
from cryomamba.volumes import open_volume, write_volume
from cryomamba_inference.engines.onnx import OnnxEngine, OnnxParameters
from cryomamba_inference.executor import InlineExecutor, ProcessExecutor, TileExecutor
from cryomamba_inference.runner import Control, Outcome, Task, run_task
from cryomamba_inference.trained_models import onnx_network

SHAPE = (24, 30, 36)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """Write a volume of smooth noise."""
    values = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=SHAPE), 1.5) * 300 + 50
    write_volume(tmp_path / "t.mrc", values.astype(np.float32), 10.0)
    return tmp_path / "t.mrc"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Write a network of two channels and its sidecar."""
    folder = write_toml(tmp_path / "model", normalization="zero_mean_unit_variance")
    convolution(folder / "net.onnx")
    return folder


def run(
    path: Path, engine: OnnxEngine, folder: Path, recorder: Any, *, executor: TileExecutor | None = None, **task: Any
) -> tuple[npt.NDArray[Any], Outcome]:
    """Run the engine; return its mask and the outcome."""
    folder.mkdir()
    with open_volume(path) as opened:
        outcome = run_task(Task(engine, opened, **task), folder, executor or InlineExecutor(), Control(), recorder)
    with mrcfile.open(outcome.mask) as mask:
        return np.array(mask.data), outcome


def engine_of(model: Path, **parameters: Any) -> OnnxEngine:
    """Return the engine with a model."""
    return OnnxEngine(OnnxParameters(model=str(model), **parameters))


def test_scores_are_those_of_the_network_on_the_whole_volume(
    volume: Path, model: Path, tmp_path: Path, recorder: Any
) -> None:
    """Away from the borders, where windows see what the network alone sees, probabilities differ by rounding only."""
    write_toml(model, window=16, overlap=0.5, normalization="zero_mean_unit_variance")
    run(volume, engine_of(model), tmp_path / "run", recorder, keep_scores=True)
    with mrcfile.open(tmp_path / "run" / "scores.mrc") as file:
        scores = np.array(file.data, np.int64)
    with mrcfile.open(volume) as file:
        data = np.array(file.data)
    session = onnxruntime.InferenceSession(str(model / "net.onnx"))
    (logits,) = session.run(None, {"in": ((data - data.mean()) / data.std())[None, None]})
    whole = 255 / (1 + np.exp(logits[0, 0] - logits[0, 1]))
    # The weight of a window's outermost voxels, where zeros are seen in place of the volume, is a thousandth.
    assert np.abs(scores - whole)[1:-1, 1:-1, 1:-1].max() <= 2
    assert scores.std() > 10


def test_labels_are_those_of_the_model(volume: Path, tmp_path: Path, recorder: Any) -> None:
    """Three channels with softmax are two labels; the outcome names the model and its checksum."""
    folder = write_toml(tmp_path / "three", labels={"1": "inner", "2": "outer"}, licence="MIT")
    convolution(folder / "net.onnx", channels=3)
    engine = engine_of(folder)
    mask, outcome = run(volume, engine, tmp_path / "run", recorder)
    assert (engine.labels, engine.output) == ({1: "inner", 2: "outer"}, "labels")
    assert set(np.unique(mask)) == {0, 1, 2}
    assert outcome.estimates == {"model": "three", "model_sha256": engine.model.sha256}


def test_processes_and_jobs_do_not_change_a_byte(volume: Path, model: Path, tmp_path: Path, recorder: Any) -> None:
    """One process and two give the same file, whatever the focus, and again in the next job of the same processes."""
    run(volume, engine_of(model), tmp_path / "a", recorder)
    pool = ProcessExecutor(2)
    try:
        run(volume, engine_of(model), tmp_path / "b", recorder, executor=pool, focus=(23.0, 0.0, 0.0))
        run(volume, engine_of(model), tmp_path / "c", recorder, executor=pool, focus=(0.0, 29.0, 35.0))
    finally:
        pool.close()
    contents = [(tmp_path / name / "mask.mrc").read_bytes() for name in "abc"]
    assert contents[0] == contents[1] == contents[2]


def test_an_ensemble_is_averaged_and_mirrorings_too(volume: Path, model: Path, tmp_path: Path, recorder: Any) -> None:
    """Two equal networks give what one gives; a mirrored one gives the mirrored mask."""
    alone, _ = run(volume, engine_of(model), tmp_path / "a", recorder)
    pair = write_toml(
        tmp_path / "pair", weights=["a.onnx", "b.onnx"], mirror=["z", "y", "x"], normalization="zero_mean_unit_variance"
    )
    for name in ("a.onnx", "b.onnx"):
        convolution(pair / name)
    both, _ = run(volume, engine_of(pair), tmp_path / "b", recorder)
    assert np.array_equal(alone, both)
    with mrcfile.open(volume) as file:
        mirrored = np.ascontiguousarray(file.data[:, ::-1])
    write_volume(tmp_path / "m.mrc", mirrored, 10.0)
    there, _ = run(volume, engine_of(pair, mirroring=True), tmp_path / "c", recorder)
    back, _ = run(tmp_path / "m.mrc", engine_of(pair, mirroring=True), tmp_path / "d", recorder)
    assert np.mean(there[:, ::-1] != back) < 1e-3
    assert np.mean(there != alone) > 0.01


def test_a_tomogram_of_the_other_contrast_is_inverted(volume: Path, model: Path, tmp_path: Path, recorder: Any) -> None:
    """An inverted tomogram with the other contrast gives the same mask."""
    write_toml(model, contrast="dark", normalization="zero_mean_unit_variance")
    with mrcfile.open(volume) as file:
        write_volume(tmp_path / "inverted.mrc", 100 - np.array(file.data), 10.0)
    dark, _ = run(volume, engine_of(model), tmp_path / "a", recorder)
    bright, _ = run(tmp_path / "inverted.mrc", engine_of(model, contrast="bright"), tmp_path / "b", recorder)
    assert np.mean(dark != bright) < 1e-3


def test_a_model_stays_loaded(volume: Path, model: Path, tmp_path: Path, recorder: Any) -> None:
    """The second job of a process loads nothing; a changed file is loaded again."""
    run(volume, engine_of(model), tmp_path / "a", recorder)
    before = onnx_network._loaded.cache_info().misses
    run(volume, engine_of(model), tmp_path / "b", recorder)
    assert onnx_network._loaded.cache_info().misses == before
    convolution(model / "net.onnx", seed=1)
    run(volume, engine_of(model), tmp_path / "c", recorder)
    assert onnx_network._loaded.cache_info().misses == before + 1


def test_single_sections(volume: Path, tmp_path: Path, recorder: Any) -> None:
    """A model without z sees each section alone, at the voxel size in y and x."""
    folder = write_toml(
        tmp_path / "flat", axes="bcyx", output_axes="bcyx", window=[1, 16, 16], scores="sigmoid", logits=False
    )
    kernel = np.ones((1, 1, 3, 3), np.float32)
    nodes = [helper.make_node("Conv", ["in", "k"], ["a"], pads=[1] * 4), helper.make_node("Sigmoid", ["a"], ["out"])]
    save(folder / "net.onnx", nodes, {"k": kernel}, shape=(1, 1, "y", "x"), output=(1, 1, "y", "x"))
    mask, _ = run(volume, engine_of(folder), tmp_path / "run", recorder)
    with mrcfile.open(volume) as file:
        expected = ndimage.uniform_filter(np.array(file.data), (0, 3, 3), mode="constant") > 0
    assert np.mean(mask[:, 1:-1, 1:-1] != expected[:, 1:-1, 1:-1]) < 0.01


@pytest.mark.parametrize(
    "kind", ["external", "operator", "damaged", "inputs", "shape", "channels", "nan", "huge", "rank"]
)
def test_what_cannot_be_run_ends_the_job_with_a_sentence(
    kind: str, volume: Path, tmp_path: Path, recorder: Any
) -> None:
    """Hostile, broken and unfitting networks: the cause is named, and no foreign code or file is used."""
    folder = write_toml(tmp_path / "bad", output_axes="bczyx")
    net, identity = folder / "net.onnx", [helper.make_node("Identity", ["in"], ["out"])]
    (tmp_path / "secret.bin").write_bytes(bytes(400))
    match kind:
        case "external":
            nodes = [helper.make_node("Add", ["in", "w"], ["out"])]
            save(net, nodes, {"w": np.zeros(1, np.float32)}, external="../secret.bin")
            words = "not a path inside the folder"
        case "operator":
            save(net, [helper.make_node("Run", ["in"], ["out"], domain="evil")], {}, domains=["evil"])
            words = r"not part of ONNX or onnxruntime \(evil.Run\)"
        case "damaged":
            net.write_bytes(b"\x08\x09 damaged")
            words = "not an ONNX file, or is damaged"
        case "inputs":
            save(net, identity, {}, shape=(1, 3, "z", "y", "x"))
            words = "input of shape"
        case "shape":
            save(net, identity, {}, shape=(1, 1, 32, 32, 32))
            words = r"input of shape \(1, 1, 32, 32, 32\)"
        case "channels":
            convolution(net, channels=5)
            words = r"scores of shape \(5, 16, 16, 16\)"
        case "nan":
            zero = [
                helper.make_node("Concat", ["in", "in"], ["a"], axis=1),
                helper.make_node("Div", ["a", "w"], ["out"]),
            ]
            save(net, zero, {"w": np.zeros(1, np.float32)})
            words = "NaN or infinite"
        case "huge":
            nodes = [helper.make_node("Expand", ["in", "w"], ["out"])]
            save(net, nodes, {"w": np.array([1, 1 << 20, 16, 1 << 20, 16], np.int64)})
            words = "cannot|failed|needs more memory"
        case "rank":
            save(
                net, [helper.make_node("ReduceMax", ["in"], ["out"], axes=[0, 1], keepdims=0)], {}, output=(16, 16, 16)
            )
            words = "3 axes"
    with pytest.raises(CryoMambaError, match=words) as caught:
        run(volume, engine_of(folder), tmp_path / "run", recorder)
    assert isinstance(caught.value, InvalidRequestError | JobFailedError)
    assert str(tmp_path) not in caught.value.message
    assert list((tmp_path / "run").iterdir()) == []


def test_external_data_of_its_own_are_read(volume: Path, tmp_path: Path, recorder: Any) -> None:
    """Weights in a second file of the folder are fine if the sidecar lists it, and belong to the checksum."""
    folder = write_toml(tmp_path / "two", scores="sigmoid", extra_files=["w.bin"])
    save(
        folder / "net.onnx",
        [helper.make_node("Sub", ["w", "in"], ["out"])],
        {"w": np.zeros(1, np.float32)},
        external="w.bin",
    )
    (folder / "w.bin").write_bytes(np.float32(50).tobytes())
    mask, _ = run(volume, engine_of(folder), tmp_path / "run", recorder)
    before = engine_of(folder).model.sha256
    with mrcfile.open(volume) as file:
        assert np.mean(mask != (np.array(file.data) < 50)) < 1e-3
    (folder / "w.bin").write_bytes(np.float32(51).tobytes())
    assert engine_of(folder).model.sha256 != before
    write_toml(folder, scores="sigmoid")
    with pytest.raises(InvalidRequestError, match="must be listed in extra_files"):
        run(volume, engine_of(folder), tmp_path / "again", recorder)


def test_models_are_asked_for_by_name(model: Path, tmp_path: Path) -> None:
    """Without a model, with an unknown one or with one of another kind, the engine says so when it is made."""
    registry = Registry.discover()
    with pytest.raises(InvalidRequestError, match="needs a model"):
        registry.create("onnx", {})
    with pytest.raises(InvalidRequestError, match="no model 'nothing'"):
        registry.create("onnx", {"model": "nothing"})
    write_toml(model, kind="torchscript")
    with pytest.raises(InvalidRequestError, match="of kind 'torchscript'"):
        engine_of(model)


def test_a_server_takes_names_only(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path is refused where the process serves others."""
    monkeypatch.setattr("cryomamba.trained_models.folders._current", None)
    use_model_folders(ModelFolders((model.parent,), names_only=True))
    assert engine_of(Path("model")).model.folder == model
    with pytest.raises(InvalidRequestError, match="not the name of a model"):
        engine_of(model)


def test_without_a_graphics_processor_it_is_said(model: Path) -> None:
    """The onnxruntime of the lock computes on the CPU."""
    if set(onnxruntime.get_available_providers()) & set(onnx_network._GPU):
        pytest.skip("there is one")
    with pytest.raises(InvalidRequestError, match="CPU only"):
        engine_of(model, device="gpu")
