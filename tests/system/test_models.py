"""A model from its folder to the mask: added, its licence accepted, run by a worker, kept while it is needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.inference.trained_models.networks import convolution, write_toml

import cryomamba
from cryomamba.errors import ConflictError, CryoMambaError, ErrorCode, InvalidRequestError
from cryomamba.models.jobs import JobState
from cryomamba.testing import Stack, wait_until

pytestmark = pytest.mark.system

LICENCE = "CC-BY-NC-4.0"


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """The folder of a small network."""
    folder = write_toml(tmp_path / "net", normalization="zero_mean_unit_variance", licence=LICENCE)
    convolution(folder / "net.onnx")
    return folder


def test_a_model_is_added_accepted_run_and_removed(stack: Stack, tomogram: Path, network: Path) -> None:
    """At each step the next request finds it as it is; the result has the checksum that the list shows."""
    with cryomamba.connect(stack.http_url) as client, cryomamba.connect(stack.bus_url) as direct:
        model = client.add_model(network, "membranes")
        assert (model.kind, model.labels, len(model.workers)) == ("onnx", {1: "membrane"}, 1)
        assert direct.models() == client.models() == [model]
        with pytest.raises(InvalidRequestError) as caught:
            client.submit(tomogram, engine="onnx", params={"model": "membranes"})
        assert caught.value.code is ErrorCode.LICENCE_NOT_ACCEPTED
        client.accept_licence("membranes", LICENCE)
        with pytest.raises(InvalidRequestError) as caught:
            direct.submit(tomogram, engine="onnx", params={"model": "membrane"})
        assert "Did you mean 'membranes'?" in caught.value.hint
        job = direct.submit(tomogram, engine="onnx", params={"model": "membranes"})
        assert job.wait().state is JobState.COMPLETED
        statistics = stack.home / "artifacts" / job.job_id / "stats.json"
        estimates = json.loads(statistics.read_text())["estimates"]
        assert (estimates["model"], estimates["model_sha256"]) == ("membranes", model.sha256)

        busy = client.submit(shape=(32, 32, 32), engine="demo", params={"seconds": 600})
        wait_until(lambda: client.record(busy.job_id).state is JobState.RUNNING, what="the worker to be busy")
        waiting = client.submit(tomogram, engine="onnx", params={"model": "membranes"})
        with pytest.raises(ConflictError) as needed:
            client.remove_model("membranes")
        assert needed.value.details["jobs"] == [waiting.job_id]
        waiting.cancel()
        client.remove_model("membranes")
        assert direct.models() == client.models() == []
        with pytest.raises(InvalidRequestError) as caught:
            direct.submit(tomogram, engine="onnx", params={"model": "membranes"})
        assert caught.value.code is ErrorCode.UNKNOWN_MODEL
        busy.cancel()


def test_models_are_known_again_after_the_broker_has_restarted(stack: Stack, network: Path) -> None:
    """The workers announce them again by themselves."""
    with cryomamba.connect(stack.http_url) as client:
        model = client.add_model(network, "net", accept_licence=True)
        stack.kill("broker")
        stack.start("broker")

        def known() -> bool:
            try:
                return client.model("net") == model
            except CryoMambaError:
                return False

        wait_until(known, what="the model to be known again")
        client.remove_model("net")


def test_a_model_that_is_replaced_before_its_job_starts_fails_it(stack: Stack, tomogram: Path, network: Path) -> None:
    """The checksum of the submit counts; a job that is submitted afterwards runs with the new one."""
    with cryomamba.connect(stack.http_url) as client:
        model = client.add_model(network, "replaced", accept_licence=True)
        busy = client.submit(shape=(32, 32, 32), engine="demo", params={"seconds": 600})
        wait_until(lambda: client.record(busy.job_id).state is JobState.RUNNING, what="the worker to be busy")
        job = client.submit(tomogram, engine="onnx", params={"model": "replaced"})
        assert job.record.model_sha256 == model.sha256
        convolution(stack.home / "models" / "replaced" / "net.onnx", seed=1)
        busy.cancel()
        with pytest.raises(InvalidRequestError, match="'replaced' was changed after the job was submitted") as caught:
            job.wait()
        assert caught.value.code is ErrorCode.MODEL_CHANGED
        assert client.record(job.job_id).attempt == 1
        wait_until(lambda: client.model("replaced").sha256 != model.sha256, what="the other model to be announced")
        client.accept_licence("replaced", LICENCE)
        again = client.submit(tomogram, engine="onnx", params={"model": "replaced"})
        assert again.wait().state is JobState.COMPLETED
        client.remove_model("replaced")
