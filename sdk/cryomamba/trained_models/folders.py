"""Where a process finds its models: in folders, by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryomamba.errors import CryoMambaError, ErrorCode, InvalidRequestError
from cryomamba.settings import Settings, load_settings
from cryomamba.suggestions import did_you_mean
from cryomamba.trained_models.model import Model, is_model_name, read_model, require_model_name


@dataclass(frozen=True, slots=True)
class ModelFolders:
    """Folders whose subfolders are models; a name in an earlier folder hides the same one in a later.

    Attributes
    ----------
    folders : tuple of Path
        They need not exist.
    names_only : bool
        Whether a model must be given by its name, as on a server; else a path is taken too.
    """

    folders: tuple[Path, ...]
    names_only: bool = False

    @classmethod
    def of(cls, settings: Settings, *, names_only: bool = False) -> ModelFolders:
        """Return the folders of settings: those of ``CRYOMAMBA_MODELS``, then ``models`` in the data directory."""
        return cls((*settings.models, settings.own_models), names_only)

    def names(self) -> list[str]:
        """Return the names of all models, sorted, whether or not they can be used."""
        return sorted({path.name for folder in self.folders for path in _models_in(folder)})

    def path(self, name: str) -> Path | None:
        """Return the folder of a model, None if there is none of that name."""
        if not is_model_name(name):
            return None
        return next((folder / name for folder in self.folders if (folder / name).is_dir()), None)

    def load(self, name_or_path: str) -> Model:
        """Read a model by its name, or from a path unless `names_only`.

        Raises
        ------
        InvalidRequestError
            ``invalid_parameters``: there is no such model, the hint lists those that are there, or it cannot be used.
        """
        if self.names_only:
            require_model_name(name_or_path)
        found = self.path(name_or_path)
        if found is None and not self.names_only and Path(name_or_path).expanduser().exists():
            found = Path(name_or_path)
        if found is None:
            raise self._unknown(name_or_path)
        try:
            return read_model(found)
        except CryoMambaError as error:
            raise InvalidRequestError(
                error.message, code=ErrorCode.INVALID_PARAMETERS, hint=error.hint, details=error.details
            ) from None

    def load_all(self) -> tuple[list[Model], dict[str, CryoMambaError]]:
        """Return the models that can be used, sorted by name, and by name why the others cannot."""
        models: list[Model] = []
        broken: dict[str, CryoMambaError] = {}
        for name in self.names():
            found = self.path(name)
            if found is None:
                continue
            try:
                models.append(read_model(found))
            except CryoMambaError as error:
                broken[name] = error
        return models, broken

    def _unknown(self, name: str) -> InvalidRequestError:
        known = self.names()
        listed = f"Models: {', '.join(known[:20])}." if known else "There are no models yet."
        return InvalidRequestError(
            f"There is no model '{name[:64]}'.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint=f"{did_you_mean(name, known)}{listed} 'cryomamba models list' describes them.",
        )


_current: ModelFolders | None = None


def use_model_folders(folders: ModelFolders) -> None:
    """Set the folders in which :func:`load_model` looks, for the whole process; a service does so when it starts."""
    # An engine is made of its parameters alone, so it must find its model by itself.
    global _current
    _current = folders


def load_model(name_or_path: str) -> Model:
    """Read the model that an engine's parameter names: from the folders of this process, or else of its settings.

    Raises
    ------
    InvalidRequestError
        ``invalid_parameters``, as for :meth:`ModelFolders.load`.
    """
    return (_current or ModelFolders.of(load_settings())).load(name_or_path)


def _models_in(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return iter(())
    return (path for path in folder.iterdir() if path.is_dir() and is_model_name(path.name))
