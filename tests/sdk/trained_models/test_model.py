"""A model on disk: read from a folder or a file, with all its files inside the folder."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from cryomamba.errors import InvalidRequestError, NotFoundError
from cryomamba.trained_models.model import is_model_name, model_name, read_model, require_model_name

SIDECAR = 'kind = "onnx"\nweights = ["net.onnx"]\nwindow = 32\nlicence = "MIT"\n[labels]\n1 = "membrane"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a sidecar and weights."""
    made = tmp_path / "my net"
    made.mkdir()
    (made / "model.toml").write_text(SIDECAR)
    (made / "net.onnx").write_bytes(b"weights")
    return made


def describe(folder: Path, line: str) -> None:
    """Add a line to the sidecar, in place of the one with the same field."""
    key = line.partition(" =")[0]
    lines = [each for each in SIDECAR.splitlines() if not each.startswith(f"{key} =")]
    (folder / "model.toml").write_text("\n".join([line, *lines]))


def test_a_folder_is_a_model(folder: Path) -> None:
    """Its name is that of the folder, with other characters replaced; the record has size, licence and checksum."""
    model = read_model(folder)
    assert (model.name, model.files) == ("my-net", ("model.toml", "net.onnx"))
    info = model.info()
    assert (info.name, info.kind, info.labels, info.licence, info.needs) == (
        "my-net",
        "onnx",
        {1: "membrane"},
        "MIT",
        "",
    )
    assert info.size_bytes == len(SIDECAR) + len(b"weights")
    assert info.sha256 == model.sha256


def test_the_checksum_is_of_names_and_content(folder: Path) -> None:
    """It is what a person computes with sha256sum, and changes with any byte, but not with a test tensor."""
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in ("model.toml", "net.onnx")
    ]
    before = read_model(folder).sha256
    assert before == hashlib.sha256("".join(lines).encode()).hexdigest()
    (folder / "net.onnx").write_bytes(b"weightz")
    assert read_model(folder).sha256 != before


def test_a_weights_file_is_a_model_with_the_sidecar_beside_it(folder: Path) -> None:
    """A sidecar with the name of the file comes first; one that describes other weights is refused."""
    assert read_model(folder / "net.onnx").name == "net"
    (folder / "other.onnx").write_bytes(b"weights")
    with pytest.raises(InvalidRequestError, match=r"describes net\.onnx, not 'other\.onnx'"):
        read_model(folder / "other.onnx")
    (folder / "other.toml").write_text(SIDECAR.replace("net.onnx", "other.onnx"))
    assert read_model(folder / "other.onnx").sidecars == ("other.toml",)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../net.onnx", "not a path inside the folder"),
        ("/etc/passwd", "not a path inside the folder"),
        ("C:/net.onnx", "not a path inside the folder"),
        ("a\\\\..\\\\net.onnx", "not a path inside the folder"),
        ("https://example.org/net.onnx", "download the file"),
        ("missing.onnx", "there is no file 'missing.onnx'"),
        ("sub", "is not a file"),
        ("empty.onnx", "is empty"),
        ("link.onnx", "link out of the folder"),
        ("linked/net.onnx", "link out of the folder"),
    ],
)
def test_files_outside_of_the_folder_are_refused(folder: Path, tmp_path: Path, name: str, words: str) -> None:
    """Neither a path nor a link leads out of the model's folder."""
    (folder / "sub").mkdir()
    (folder / "empty.onnx").touch()
    (tmp_path / "net.onnx").write_bytes(b"secret")
    if sys.platform == "win32" and "link" in name:
        pytest.skip("links need rights there")
    if sys.platform != "win32":
        (folder / "link.onnx").symlink_to(tmp_path / "net.onnx")
        (folder / "linked").symlink_to(tmp_path)
    describe(folder, f'weights = ["{name}"]')
    with pytest.raises(InvalidRequestError) as caught:
        read_model(folder)
    assert words in caught.value.details["problems"][0]


def test_a_link_inside_the_folder_is_followed(folder: Path) -> None:
    """Weights may be a link to another file of the same folder."""
    (folder / "again.onnx").symlink_to("net.onnx")
    describe(folder, 'weights = ["again.onnx"]')
    assert read_model(folder).weights == (folder / "again.onnx",)


def test_a_damaged_file_is_found(folder: Path) -> None:
    """A checksum that the sidecar states is compared on request."""
    stated = hashlib.sha256(b"weights").hexdigest()
    (folder / "model.toml").write_text(f'{SIDECAR}[checksums]\n"net.onnx" = "{stated}"\n')
    assert read_model(folder).checksum_problems() == []
    (folder / "net.onnx").write_bytes(b"damaged")
    (problem,) = read_model(folder).checksum_problems()
    assert "'net.onnx' is damaged" in problem


def test_without_a_sidecar_a_folder_is_no_model(tmp_path: Path) -> None:
    """The hint says what to write; a missing folder is not found."""
    with pytest.raises(InvalidRequestError) as caught:
        read_model(tmp_path)
    assert "model.toml" in caught.value.hint
    with pytest.raises(NotFoundError):
        read_model(tmp_path / "missing")


def test_a_huge_sidecar_is_not_read(folder: Path) -> None:
    """Memory is bounded whatever the folder holds."""
    (folder / "model.toml").write_bytes(b"#" * (1024**2 + 1))
    with pytest.raises(InvalidRequestError, match="larger than 256 KiB"):
        read_model(folder)


def test_names_are_no_paths() -> None:
    """What a server takes as a name cannot lead anywhere, and any text can be made a name."""
    for text in ("../x", "a/b", "", ".hidden", "a\\b", "x" * 65, "a\n", "ä"):
        assert not is_model_name(text)
        assert is_model_name(model_name(text))
    with pytest.raises(InvalidRequestError, match="is not the name of a model"):
        require_model_name("../x")


def test_reading_imports_nothing_heavy() -> None:
    """Descriptions are read in every client, so without a framework."""
    heavy = "{'torch', 'onnxruntime', 'onnx', 'zmq'}"
    code = f"import sys, cryomamba.trained_models.folders; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "set()"
