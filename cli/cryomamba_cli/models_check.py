"""``models check``: what is wrong with a model, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryomamba_cli import output
from cryomamba_cli.options import Json


def check(
    source: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Folder of the model, its weights file, or the name of a model.")
    ],
    json: Json = False,
) -> None:
    """Check a model: sidecar, files, checksums, operators, one window, and the test tensors that it brings."""
    from cryomamba.optional_imports import requires_extra
    from cryomamba.settings import load_settings
    from cryomamba.trained_models.folders import ModelFolders
    from cryomamba_server.exit_codes import ExitCode

    with requires_extra("inference"):
        from cryomamba_inference.trained_models.bounded_check import check_bounded

    named = None if Path(source).expanduser().exists() else ModelFolders.of(load_settings()).path(source)
    result = check_bounded(named or Path(source))
    if json:
        fields = {"passed": result.passed, "problems": result.problems, "notes": result.notes}
        output.document({"model": None if result.model is None else result.model.name, **fields})
    else:
        for level, sentences in (("ok", result.passed), ("fail", result.problems)):
            for sentence in sentences:
                output.say(f"{level:<5}{sentence}")
        for note in result.notes:
            output.note(note)
    if result.problems:
        raise typer.Exit(ExitCode.JOB_FAILED)
