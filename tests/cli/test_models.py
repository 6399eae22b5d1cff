"""``models`` in this data directory, and on a running server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from tests.inference.trained_models.networks import convolution, write_toml
from tests.trained_models import write_model
from typer.testing import Result

from cryomamba.testing import Stack
from cryomamba.volumes import write_volume

Cli = Callable[..., Result]


def test_a_model_is_added_shown_and_removed_here(cli: Cli, tmp_path: Path) -> None:
    """The licence is shown and accepted once; every change is in the audit log; a model without a name is refused."""
    write_model(tmp_path / "My net (2)", title="Membranes", licence="CC-BY-NC-4.0")
    assert "No models" in cli("models", "list").stderr
    added = cli("models", "add", "My net (2)")
    assert (added.exit_code, added.stdout) == (0, "My-net-2\n")
    assert "CC-BY-NC-4.0" in added.stderr
    listed = cli("models", "list").stdout
    assert "CC-BY-NC-4.0 (not accepted)" in listed
    assert "10 Å" in listed
    assert "is accepted" in cli("models", "accept", "My-net-2").stdout
    shown = cli("models", "show", "My-net-2").stdout
    assert "Membranes" in shown
    assert "CC-BY-NC-4.0 (accepted)" in shown
    (record,) = json.loads(cli("models", "list", "--json").stdout)
    assert (record["name"], record["licence_accepted"], len(record["sha256"])) == ("My-net-2", True, 64)
    assert cli("models", "add", "My net (2)").exit_code != 0
    assert cli("models", "add", "My net (2)", "--name", "two", "--accept-licence").stderr.count("licence") == 0
    removed = cli("models", "remove", "My-net-2")
    assert removed.exit_code == 0
    assert "No broker runs" in removed.stderr
    assert [one["name"] for one in json.loads(cli("models", "list", "--json").stdout)] == ["two"]
    assert "There is no model 'My-net-2'" in cli("models", "show", "My-net-2").stderr
    assert cli("models", "remove", "../two").exit_code != 0
    actions = [json.loads(line)["action"] for line in (tmp_path / "home" / "audit.jsonl").read_text().splitlines()]
    assert actions == ["model.add", "model.accept_licence", "model.add", "model.accept_licence", "model.remove"]


def test_a_model_that_cannot_be_used_is_named_with_the_reason(cli: Cli, tmp_path: Path) -> None:
    """Such as one whose weights somebody has removed."""
    write_model(tmp_path / "net")
    cli("models", "add", "net")
    (tmp_path / "home" / "models" / "net" / "net.onnx").unlink()
    listed = cli("models", "list")
    assert listed.exit_code == 0
    assert "The model 'net' cannot be used: " in listed.stderr
    assert "net.onnx" in listed.stderr
    assert "net.onnx" in cli("models", "show", "net").stderr


@pytest.mark.system
def test_a_model_is_added_to_a_server(cli: Cli, server: Stack, tmp_path: Path) -> None:
    """A folder or an archive is sent, and at once the server's worker has it; a direct connection lists it as well."""
    net = write_model(tmp_path / "net", licence="CC-BY-NC-4.0")
    shutil.make_archive(str(tmp_path / "packed"), "gztar", net)
    to_server = ("--server", server.http_url)
    assert cli("models", "add", "net", *to_server).stdout == "net\n"
    assert cli("models", "add", "packed.tar.gz", "--name", "packed", "--accept-licence", *to_server).exit_code == 0
    for url in (server.http_url, server.bus_url):
        found = {one["name"]: one for one in json.loads(cli("models", "list", "--server", url, "--json").stdout)}
        assert {name: one["licence_accepted"] for name, one in found.items()} == {"net": True, "packed": True}
    assert found["net"]["sha256"] == found["packed"]["sha256"]
    taken = cli("models", "add", "net", *to_server)
    assert "There is already a model 'net'" in taken.stderr
    refused = cli("models", "add", "net", "--name", "other", "--server", server.bus_url)
    assert refused.exit_code != 0
    assert "gateway" in refused.stderr
    for name in ("net", "packed"):
        assert cli("models", "remove", name, *to_server).exit_code == 0
    assert "No models" in cli("models", "list", "--server", server.bus_url).stderr
    assert cli("models", "remove", "net", *to_server).exit_code == 3


@pytest.mark.system
def test_a_network_runs_on_a_server_as_here(cli: Cli, server: Stack, tmp_path: Path) -> None:
    """A server runs a model by its name, gives the bytes of a run on this machine, and refuses a path."""
    folder = write_toml(tmp_path / "net", normalization="zero_mean_unit_variance", labels={"1": "a", "2": "b"})
    convolution(folder / "net.onnx", channels=3)
    values = np.random.default_rng(0).normal(size=(20, 24, 28)).astype(np.float32)
    write_volume(tmp_path / "t.mrc", values, 10.0)
    there = ("--server", server.http_url)
    assert cli("models", "add", "net", "--name", "as-here", *there).exit_code == 0
    run = ("segment", "t.mrc", "-e", "onnx", "--json")
    remote = cli(*run, "-o", "remote.mrc", "-p", "model=as-here", *there)
    local = cli(*run, "-o", "local.mrc", "-p", f"model={folder}")
    assert (remote.exit_code, local.exit_code) == (0, 0), remote.stderr + local.stderr
    masks = [mrcfile.read(tmp_path / name) for name in ("remote.mrc", "local.mrc")]
    assert set(np.unique(masks[0])) == {0, 1, 2}
    assert np.array_equal(*masks)
    refused = cli(*run, "-o", "path.mrc", "-p", f"model={folder}", *there)
    assert refused.exit_code != 0
    assert "model" in refused.stderr
    assert not (tmp_path / "path.mrc").exists()
    assert cli("models", "remove", "as-here", *there).exit_code == 0


def test_a_model_is_checked(cli: Cli, tmp_path: Path) -> None:
    """Each problem is a line; the exit code tells scripts; a model is named by folder or by name."""
    folder = write_toml(tmp_path / "net")
    convolution(folder / "net.onnx")
    good = cli("models", "check", "net")
    assert good.exit_code == 0
    assert [line.split()[0] for line in good.stdout.splitlines()] == ["ok", "ok"]
    assert "no test tensors" in good.stderr
    write_toml(folder, labels={"1": "a", "2": "b"})
    bad = cli("models", "check", str(folder))
    assert bad.exit_code == 1
    assert "fail " in bad.stdout
    write_toml(tmp_path / "home" / "models" / "mine", windw=3)
    named = cli("models", "check", "mine", "--json")
    assert named.exit_code == 1
    assert "Did you mean 'window'?" in json.loads(named.stdout)["problems"][0]


def test_a_licence_is_accepted_before_a_model_runs_here(cli: Cli, tomogram: Path, tmp_path: Path) -> None:
    """By its name or by its folder; the refusal says how, and once is enough."""
    folder = write_toml(tmp_path / "net", licence="CC-BY-NC-4.0")
    convolution(folder / "net.onnx")
    refused = cli("segment", tomogram, "-e", "onnx", "-p", "model=./net")
    assert refused.exit_code != 0
    assert "CC-BY-NC-4.0" in refused.stderr
    assert "cryomamba models accept ./net" in refused.stderr
    assert cli("models", "accept", "./net").exit_code == 0
    assert cli("models", "add", "net").exit_code == 0
    assert cli("segment", tomogram, "-e", "onnx", "-p", "model=net", "-o", "mask.mrc").exit_code == 0
    assert (tmp_path / "mask.mrc").is_file()
