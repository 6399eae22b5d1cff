"""A process finds its models by name, in folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cryomamba.errors import InvalidRequestError
from cryomamba.settings import Settings
from cryomamba.trained_models import folders as module
from cryomamba.trained_models.folders import ModelFolders, load_model, use_model_folders

SIDECAR = 'kind = "onnx"\nweights = "net.onnx"\nwindow = 32\n[labels]\n1 = "membrane"\n'


def put_model(folder: Path, title: str = "") -> None:
    """Make a model."""
    folder.mkdir(parents=True)
    (folder / "model.toml").write_text(f'title = "{title}"\n{SIDECAR}')
    (folder / "net.onnx").write_bytes(b"weights")


@pytest.fixture
def own_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the process's folders at the end."""
    monkeypatch.setattr(module, "_current", None)


def test_the_folders_of_the_settings_come_before_the_data_directory(tmp_path: Path) -> None:
    """A name in CRYOMAMBA_MODELS hides the same one of the data directory; a folder need not exist."""
    settings = Settings(home=tmp_path / "home", models=(tmp_path / "lab", tmp_path / "missing"))
    for folder in (settings.own_models, tmp_path / "lab"):
        put_model(folder / "net", str(folder))
    put_model(settings.own_models / "other")
    found = ModelFolders.of(settings)
    assert found.names() == ["net", "other"]
    assert found.load("net").description.title == str(tmp_path / "lab")


def test_settings_name_several_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are separated as in PATH."""
    monkeypatch.setenv("CRYOMAMBA_MODELS", os.pathsep.join(("/a", "/b")))
    assert Settings().models == (Path("/a"), Path("/b"))


def test_a_path_is_taken_on_this_machine_only(tmp_path: Path) -> None:
    """A server runs models by name: a path is refused there before the disk is looked at."""
    put_model(tmp_path / "net")
    path = str(tmp_path / "net")
    assert ModelFolders(()).load(path).name == "net"
    with pytest.raises(InvalidRequestError, match="not the name of a model"):
        ModelFolders((tmp_path,), names_only=True).load(path)
    assert ModelFolders((tmp_path,), names_only=True).load("net").name == "net"


def test_an_unknown_name_lists_the_models(tmp_path: Path) -> None:
    """A misspelt name gets a suggestion."""
    put_model(tmp_path / "membranes")
    with pytest.raises(InvalidRequestError) as caught:
        ModelFolders((tmp_path,)).load("membrane")
    assert "Did you mean 'membranes'?" in caught.value.hint


def test_a_broken_model_does_not_hide_the_others(tmp_path: Path) -> None:
    """All models are listed: those that can be used, and why the others cannot."""
    put_model(tmp_path / "good")
    (tmp_path / "broken").mkdir()
    (tmp_path / ".hidden").mkdir()
    models, broken = ModelFolders((tmp_path,)).load_all()
    assert [model.name for model in models] == ["good"]
    assert broken.keys() == {"broken"}


def test_engines_find_models_in_the_folders_of_the_process(tmp_path: Path, own_folders: None) -> None:
    """A service sets the folders once; without, they are those of the settings."""
    put_model(tmp_path / "net")
    use_model_folders(ModelFolders((tmp_path,), names_only=True))
    assert load_model("net").folder == tmp_path / "net"
