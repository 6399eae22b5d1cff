"""Whether a model may be used on this machine: its licence must have been accepted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryomamba.engines.info import EngineInfo
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.settings import Settings
from cryomamba.trained_models.folders import ModelFolders
from cryomamba_server.model_store.catalog import ModelCatalog


def require_accepted(engine: EngineInfo, params: Mapping[str, Any], settings: Settings) -> None:
    """Check that the licence of the model that a local run names was accepted in the data directory.

    Parameters
    ----------
    params : mapping
        Parameters of the engine; a model may be given by its name or as a path.

    Raises
    ------
    InvalidRequestError
        ``licence_not_accepted``; or there is no such model.
    """
    given = params.get(engine.model_parameter or "")
    if not isinstance(given, str) or not given:
        return
    model = ModelFolders.of(settings).load(given)
    if not model.description.licence.strip():
        return
    catalog = ModelCatalog(settings)
    known = catalog.find(given)
    offered = catalog.describe(Path(given)) if known is None else known[1]
    if not offered.licence_accepted:
        raise InvalidRequestError(
            f"The licence of the model '{offered.name}' has not been accepted: {offered.licence}.",
            code=ErrorCode.LICENCE_NOT_ACCEPTED,
            hint=f"Read it, then accept it once with 'cryomamba models accept {given}'.",
        )
