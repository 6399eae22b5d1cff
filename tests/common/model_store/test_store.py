"""Models are added and removed whole, whatever happens meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.small_disk import small_disk
from tests.trained_models import write_model

from cryomamba.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError, UnavailableError
from cryomamba.settings import Settings
from cryomamba.testing import wait_until
from cryomamba_server.model_store.catalog import ModelCatalog
from cryomamba_server.model_store.staging import ModelLimits
from cryomamba_server.model_store.store import ModelStore

ADD = """
import sys
from pathlib import Path
from cryomamba.errors import ConflictError
from cryomamba_server.model_store.store import ModelStore
try:
    ModelStore(Path(sys.argv[1])).add(Path(sys.argv[2]), "net")
except ConflictError:
    sys.exit(3)
"""


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """An empty store."""
    return ModelStore(tmp_path / "home" / "models")


def names_in(folder: Path) -> list[str]:
    """Return all names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def visible(store: ModelStore) -> list[str]:
    """Return all names in the store's folder."""
    return names_in(store.folder)


def test_a_folder_is_copied(store: ModelStore, tmp_path: Path) -> None:
    """The files that a model needs are copied, and no others; the original may go."""
    source = write_model(tmp_path / "net", title="Membranes")
    model = store.add(source, "membranes")
    shutil.rmtree(source)
    assert (model.name, model.description.title) == ("membranes", "Membranes")
    assert names_in(store.folder / "membranes") == ["model.toml", "net.onnx"]
    assert visible(store) == ["membranes"]


def test_a_file_is_copied_with_its_sidecar(store: ModelStore, tmp_path: Path) -> None:
    """A weights file beside a sidecar of its name becomes a folder that is a model by itself."""
    source = write_model(tmp_path / "net")
    (source / "model.toml").rename(source / "net.toml")
    assert store.add(source / "net.onnx", "membranes").files == ("model.toml", "net.onnx")


@pytest.mark.parametrize("form", ["zip", "tar", "gztar"])
@pytest.mark.parametrize("inside", [False, True])
def test_an_archive_is_unpacked(store: ModelStore, tmp_path: Path, form: str, inside: bool) -> None:
    """The folder in an archive, or the archive itself, is the model."""
    write_model(tmp_path / "packed" / "net")
    root = tmp_path / "packed" if inside else tmp_path / "packed" / "net"
    archive = Path(shutil.make_archive(str(tmp_path / "archive"), form, root))
    store.add(archive, "membranes")
    assert names_in(store.folder / "membranes") == ["model.toml", "net.onnx"]
    assert visible(store) == ["membranes"]


def test_the_same_content_has_the_same_checksum(store: ModelStore, tmp_path: Path) -> None:
    """A model keeps its checksum when it is added, also under another name and from an archive."""
    source = write_model(tmp_path / "net")
    archive = Path(shutil.make_archive(str(tmp_path / "archive"), "zip", source))
    assert store.add(source, "one").sha256 == store.add(archive, "two").sha256


BAD_NAMES = ("../net", "a/b", "", ".net", "net\n", "\x1b[2J", "a" * 65, "nét", "-rf")


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_none_is_refused(store: ModelStore, tmp_path: Path, name: str) -> None:
    """Paths, control characters and hidden names name no model, to add or to remove."""
    source = write_model(tmp_path / "net")
    with pytest.raises(InvalidRequestError, match="no name for a model"):
        store.add(source, name)
    with pytest.raises(NotFoundError):
        store.remove(name)


def test_what_is_no_model_is_refused(store: ModelStore, tmp_path: Path) -> None:
    """A folder without a sidecar, links, and what is larger than allowed leave nothing behind."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidRequestError, match="no sidecar"):
        store.add(tmp_path / "empty", "net")
    with pytest.raises(NotFoundError):
        store.add(tmp_path / "missing", "net")
    linked = write_model(tmp_path / "linked")
    (linked / "net.onnx").rename(linked / "real.onnx")
    (linked / "net.onnx").symlink_to("real.onnx")
    with pytest.raises(InvalidRequestError, match="not a regular file"):
        store.add(linked, "net")
    large = write_model(tmp_path / "large", weights=bytes(5000))
    with pytest.raises(InvalidRequestError, match="larger than"):
        ModelStore(store.folder, limits=ModelLimits(nbytes=4000)).add(large, "net")
    assert visible(store) == []


def test_a_model_is_never_replaced(store: ModelStore, tmp_path: Path) -> None:
    """A second model of a name is refused, and the first one stays as it is."""
    store.add(write_model(tmp_path / "one", title="one"), "net")
    with pytest.raises(ConflictError, match="already"):
        store.add(write_model(tmp_path / "two", title="two"), "net")
    assert "one" in (store.folder / "net" / "model.toml").read_text()


def test_of_several_adders_of_one_name_one_succeeds(store: ModelStore, tmp_path: Path) -> None:
    """Processes that add the same name at the same time leave one whole model."""
    sources = [write_model(tmp_path / f"net{n}", weights=bytes([n]) * (8 << 20)) for n in range(4)]
    running = [subprocess.Popen([sys.executable, "-c", ADD, str(store.folder), str(source)]) for source in sources]
    codes = sorted(process.wait(timeout=120) for process in running)
    assert codes == [0, 3, 3, 3]
    assert visible(store) == ["net"]
    content = (store.folder / "net" / "net.onnx").read_bytes()
    assert content == bytes([content[0]]) * (8 << 20)


def test_a_killed_process_leaves_no_half_model(store: ModelStore, tmp_path: Path) -> None:
    """A model whose addition was killed does not exist; the same name can be added at once, its remains go later."""
    source = write_model(tmp_path / "net", weights=bytes(512 << 20))
    running = subprocess.Popen([sys.executable, "-c", ADD, str(store.folder), str(source)])
    wait_until(lambda: list(store.folder.glob(".adding-*/net/*")), what="the copy to begin")
    running.send_signal(signal.SIGKILL)
    assert running.wait(timeout=60) == -signal.SIGKILL
    assert [name for name in visible(store) if not name.startswith(".adding-")] == []
    store.add(write_model(tmp_path / "small"), "net")
    assert len(visible(store)) == 2
    long_ago = time.time() - 2 * 24 * 3600
    for left in store.folder.glob(".adding-*"):
        for path in (*left.rglob("*"), left):
            os.utime(path, (long_ago, long_ago))
    store.remove_abandoned()
    assert visible(store) == ["net"]


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A model for which the disk has no space is refused with the typed error, and what was copied is gone."""
    with small_disk(tmp_path / "disk", 16 << 20) as disk:
        if disk is None:
            pytest.skip("only root on Linux can mount a small file system")
        source = write_model(tmp_path / "net", weights=bytes(15 << 20))
        archive = Path(shutil.make_archive(str(tmp_path / "archive"), "zip", source))
        store = ModelStore(disk / "models", reserve_bytes=4 << 20)
        # The first is refused before it is copied; the second fills the disk.
        for refused in (store, ModelStore(disk / "models", reserve_bytes=-(64 << 20))):
            (disk / "ballast").write_bytes(bytes(4 << 20))
            for given in (source, archive):
                with pytest.raises(UnavailableError) as caught:
                    refused.add(given, "net")
                assert caught.value.code is ErrorCode.INSUFFICIENT_STORAGE
                assert visible(refused) == []
            (disk / "ballast").unlink()
        store.add(write_model(tmp_path / "small"), "net")
        assert visible(store) == ["net"]


def test_a_removed_model_comes_back_if_it_is_needed(store: ModelStore, tmp_path: Path) -> None:
    """What is checked last is whether jobs need a model that nobody can find any more."""
    store.add(write_model(tmp_path / "net"), "net")

    def needed() -> None:
        assert not (store.folder / "net").exists()
        raise ConflictError("A job needs it.")

    with pytest.raises(ConflictError):
        store.remove("net", needed)
    assert visible(store) == ["net"]
    store.remove("net")
    assert visible(store) == []
    with pytest.raises(NotFoundError, match="There is no model 'net'"):
        store.remove("net")


def test_models_are_described_and_unchanged_ones_not_read_again(tmp_path: Path) -> None:
    """The catalog follows what is added, changed and removed; a checksum is kept for later processes."""
    settings = Settings(home=tmp_path / "home")
    store, catalog = ModelStore.of(settings), ModelCatalog(settings)
    assert catalog.models() == ()
    model = store.add(write_model(tmp_path / "net", title="Membranes"), "net")
    (found,) = catalog.models()
    assert (found.name, found.title, found.sha256, found.labels) == ("net", "Membranes", model.sha256, {1: "membrane"})
    weights = settings.own_models / "net" / "net.onnx"
    weights.chmod(0)
    assert catalog.models() == (found,)
    if os.geteuid():
        assert ModelCatalog(settings).models() == (found,)
    weights.chmod(0o600)
    weights.write_bytes(b"other weights")
    (changed,) = catalog.models()
    assert changed.sha256 != found.sha256
    assert ModelCatalog(settings).models() == (changed,)
    weights.unlink()
    assert catalog.models() == ()
    assert "net.onnx" in catalog.problems()["net"]
    store.remove("net")
    assert (catalog.models(), catalog.problems()) == ((), {})


def test_a_licence_is_accepted_once(tmp_path: Path) -> None:
    """A model that states a licence is usable once it was accepted, in every process; another licence is another."""
    settings = Settings(home=tmp_path / "home")
    store, catalog = ModelStore.of(settings), ModelCatalog(settings)
    store.add(write_model(tmp_path / "net", licence="CC-BY-NC-4.0"), "net")
    store.add(write_model(tmp_path / "free"), "free")
    assert [(one.name, one.licence_accepted) for one in catalog.models()] == [("free", True), ("net", False)]
    net = catalog.models()[1]
    catalog.licences.accept(net.name, net.sha256, net.licence, "ada")
    catalog.licences.accept(net.name, net.sha256, net.licence, "eve")
    assert all(one.licence_accepted for one in ModelCatalog(settings).models())
    (record,) = settings.licences.iterdir()
    assert '"owner":"ada"' in record.read_text()
    store.remove("net")
    store.add(write_model(tmp_path / "again", licence="proprietary"), "net")
    assert not catalog.models()[1].licence_accepted
