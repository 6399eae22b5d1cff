"""What has to be sent or copied to have a model elsewhere."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

from cryomamba.trained_models.model import TOML, model_name, read_model

ARCHIVES: Final = (".zip", ".tar", ".tar.gz", ".tgz")
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def is_archive(name: str) -> bool:
    """Return whether a file is an archive, by its extension: the checkpoints of PyTorch are zip files as well."""
    return name.lower().endswith(ARCHIVES)


def default_name(source: Path) -> str:
    """Return the name that a model gets by default: that of its folder, file or archive, without the extension."""
    name = source.resolve().name
    ending = next((ending for ending in sorted(ARCHIVES, key=len, reverse=True) if name.lower().endswith(ending)), "")
    if ending:
        return model_name(name[: -len(ending)])
    return model_name(name if source.is_dir() else source.stem)


def files_of(source: Path) -> dict[str, Path]:
    """Return the files that a model needs and no others, such as the validation results of nnU-Net.

    Parameters
    ----------
    source : Path
        A folder, or a weights file beside its sidecar.

    Returns
    -------
    dict of str to Path
        By their names in a folder that is the model by itself.

    Raises
    ------
    NotFoundError, InvalidRequestError
        As for :func:`~cryomamba.trained_models.model.read_model`.
    """
    folder = source if source.is_dir() else source.parent
    # The sidecar of a file has the file's name, that of a folder always the same.
    own_sidecar = None if source.is_dir() else f"{source.stem}.toml"
    return {TOML if name == own_sidecar else name: folder / name for name in read_model(source).files}


def pack(source: Path, archive: Path) -> None:
    """Write a model into a zip archive; the same files give the same bytes, so that an upload of it can be resumed.

    Raises
    ------
    NotFoundError, InvalidRequestError
        As for :func:`files_of`.
    """
    # Weights do not shrink.
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for name, path in sorted(files_of(source).items()):
            member = zipfile.ZipInfo(name, _EPOCH)
            with path.open("rb") as content, packed.open(member, "w", force_zip64=True) as target:
                while chunk := content.read(1 << 20):
                    target.write(chunk)
