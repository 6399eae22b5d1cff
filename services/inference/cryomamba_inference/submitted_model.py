"""Whether the trained model of a job is still the one for which it was submitted."""

from __future__ import annotations

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.models.jobs import JobRecord
from cryomamba_server.model_store.catalog import ModelCatalog


def require_submitted_model(record: JobRecord, parameter: str | None, catalog: ModelCatalog) -> None:
    """Refuse a job whose model was replaced after it was submitted.

    Parameters
    ----------
    parameter : str or None
        The engine's parameter that names the model, None if there is none.
    catalog : ModelCatalog
        The models of this machine; weights are read only if their files have changed.

    Raises
    ------
    InvalidRequestError
        ``model_changed``; or ``unknown_model``: it was removed.
    """
    name = record.params.get(parameter or "")
    if not record.model_sha256 or not isinstance(name, str):
        return
    found = catalog.find(name)
    if found is None:
        raise InvalidRequestError(
            f"The model '{name}' was removed after the job was submitted.",
            code=ErrorCode.UNKNOWN_MODEL,
            hint="Add it again, or submit the job with another model.",
        )
    if found[1].sha256 != record.model_sha256:
        raise InvalidRequestError(
            f"The model '{name}' was changed after the job was submitted.",
            code=ErrorCode.MODEL_CHANGED,
            hint="Submit the job again to segment with the model as it is now.",
        )
