"""Checks of the trained model that a job names, before the job is queued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cryomamba.engines.info import EngineInfo
from cryomamba.errors import CryoMambaError, ErrorCode, InvalidRequestError, UnavailableError
from cryomamba.models.model_listing import ListedModel
from cryomamba.suggestions import did_you_mean


def required_model(
    engine: EngineInfo, params: Mapping[str, Any], models: Sequence[ListedModel] | None
) -> ListedModel | None:
    """Return the trained model that a job needs, None for none.

    Parameters
    ----------
    models : sequence of ListedModel or None
        The models of the connected workers; None if no worker is connected.

    Raises
    ------
    UnavailableError
        ``no_worker``: no worker is connected, so no model is known.
    InvalidRequestError
        ``unknown_model``: no worker has it, it is one for another engine, or workers have different ones of this name;
        ``licence_not_accepted``; ``invalid_parameters``: the engine needs one, and none is named.
    """
    parameter = engine.model_parameter
    if parameter is None:
        return None
    name = params.get(parameter, engine.parameters["properties"][parameter].get("default"))
    if not isinstance(name, str):
        return None
    if not name:
        raise _refused(
            parameter,
            f"The engine '{engine.name}' needs a model.",
            "'cryomamba models list' lists the models.",
            ErrorCode.INVALID_PARAMETERS,
        )
    if models is None:
        raise UnavailableError(
            "No inference service is connected, so it is not known which models there are.",
            code=ErrorCode.NO_WORKER,
            hint="Try again in a moment; if it persists, ask whoever runs the server to start an inference service.",
        )
    named = [model for model in models if model.name == name]
    fitting = [model for model in named if model.kind == engine.name]
    if not fitting:
        raise _unknown(engine, parameter, name, named, models)
    if len(fitting) > 1:
        message = f"The inference services have different models of the name '{name}'."
        raise _refused(parameter, message, "Ask whoever runs the server to remove all but one of them.")
    if not fitting[0].licence_accepted:
        raise licence_not_accepted(fitting[0], parameter)
    return fitting[0]


def licence_not_accepted(model: ListedModel, parameter: str) -> CryoMambaError:
    """Return the error for a model whose licence nobody has accepted."""
    return _refused(
        parameter,
        f"The licence of the model '{model.name}' has not been accepted: {model.licence[:200]}.",
        f"Read it, then accept it once, in the list of models or with 'cryomamba models accept {model.name}'.",
        ErrorCode.LICENCE_NOT_ACCEPTED,
    )


def _unknown(
    engine: EngineInfo, parameter: str, name: str, named: Sequence[ListedModel], models: Sequence[ListedModel]
) -> CryoMambaError:
    if named:
        message = f"The model '{name}' is not for the engine '{engine.name}'."
        return _refused(parameter, message, f"Use the engine '{named[0].kind}' with it.")
    known = [model.name for model in models if model.kind == engine.name]
    listed = f"Models for this engine: {', '.join(known[:20])}." if known else "No model for this engine was added yet."
    message = f"There is no model '{name[:64]}' for the engine '{engine.name}'."
    return _refused(parameter, message, f"{did_you_mean(name, known)}{listed} 'cryomamba models list' lists all.")


def _refused(parameter: str, message: str, hint: str, code: ErrorCode = ErrorCode.UNKNOWN_MODEL) -> InvalidRequestError:
    problem = {"field": parameter, "problem": message}
    return InvalidRequestError(message, code=code, hint=hint, details={"fields": [problem]})
