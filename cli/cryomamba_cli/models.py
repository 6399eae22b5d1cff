"""``models``: trained models, of this machine or of a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryomamba_cli import output
from cryomamba_cli.model_conversion import EXAMPLES, convert
from cryomamba_cli.models_check import check
from cryomamba_cli.options import Json

if TYPE_CHECKING:
    from cryomamba.models.model_listing import ListedModel, OfferedModel

app = typer.Typer(
    name="models",
    no_args_is_help=True,
    help="Manage trained models: list, check, convert, add, remove, accept licences.",
)
app.command(epilog=EXAMPLES)(convert)

app.command()(check)

Name = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.")]
Server = Annotated[
    str | None,
    typer.Option(
        "--server", "-s", metavar="URL", help="List the models of this server instead of those in this data directory."
    ),
]
Accept = Annotated[bool, typer.Option("--accept-licence", help="Accept the licence that the model states.")]


@app.command("list")
def list_models(server: Server = None, json: Json = False) -> None:
    """List the trained models."""
    found, problems = _listed(server)
    if json:
        output.document(found)
        return
    if found:
        heads = ("MODEL", "ENGINE", "LABELS", "VOXEL SIZE", "SIZE", "LICENCE", "WORKERS" if server else "")
        output.table(heads, [_row(model) for model in found])
    for name, problem in problems.items():
        output.note(f"The model '{name}' cannot be used: {problem}")
    if not found and not problems:
        output.note("No models. 'cryomamba models add FOLDER' adds one.")


@app.command()
def show(model: Name, server: Server = None, json: Json = False) -> None:
    """Show what is known of a model."""
    found = _named(model, server)
    if json:
        output.document(found)
    else:
        output.facts(_facts(found))


@app.command()
def add(
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder of the model, its weights file, or an archive.")
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", "-n", help="Name by which jobs refer to the model; by default the folder's name."),
    ] = None,
    accept_licence: Accept = False,
    server: Server = None,
    json: Json = False,
) -> None:
    """Add a model to this data directory or, with --server, to a server; for administrators.

    Only the files that the model needs are taken. Nothing in them is run.
    """
    from cryomamba.trained_models.packing import default_name

    chosen = name or default_name(source)
    added = _add_here(source, chosen) if server is None else _send(source, chosen, server)
    if accept_licence:
        added = _accept(added, server)
    output.result(added, added.name, json=json)
    output.note(f"The model '{added.name}' is added; the engine '{added.kind}' runs it.")
    if not added.licence_accepted:
        output.note(f"Its licence is: {added.licence}.")
        output.note(f"Accept it before the first use: 'cryomamba models accept {added.name}'.")


@app.command()
def accept(model: Name, server: Server = None, json: Json = False) -> None:
    """Accept the licence of a model, once for the data directory or the server."""
    found = _named(model, server)
    if not found.licence:
        output.result(found, f"The model '{found.name}' states no licence, so none needs to be accepted.", json=json)
        return
    found = _accept(found, server)
    output.result(found, f"The licence of the model '{found.name}' is accepted: {found.licence}.", json=json)


@app.command()
def remove(model: Name, server: Server = None) -> None:
    """Remove a model from this data directory or, with --server, from a server; for administrators.

    A model that a pending or running job needs is not removed.
    """
    if server is None:
        _remove_here(model)
    else:
        import cryomamba

        with cryomamba.connect(server) as client:
            client.remove_model(model)
    output.say(f"The model '{model}' is removed.")


def _listed(server: str | None) -> tuple[Sequence[OfferedModel], dict[str, str]]:
    if server is not None:
        import cryomamba

        with cryomamba.connect(server) as client:
            return client.models(), {}
    from cryomamba.settings import load_settings
    from cryomamba_server.model_store.catalog import ModelCatalog

    catalog = ModelCatalog(load_settings())
    return catalog.models(), catalog.problems()


def _named(name: str, server: str | None) -> OfferedModel:
    if server is not None:
        import cryomamba

        with cryomamba.connect(server) as client:
            return client.model(name)
    from cryomamba.errors import InvalidRequestError, no_such_model
    from cryomamba.trained_models.model import is_model_name

    found, problems = _listed(None)
    if name not in {*problems, *(model.name for model in found)} and (not is_model_name(name) or Path(name).exists()):
        from cryomamba.settings import load_settings
        from cryomamba_server.model_store.catalog import ModelCatalog

        return ModelCatalog(load_settings()).describe(Path(name))
    if name in problems:
        raise InvalidRequestError(f"The model '{name}' cannot be used: {problems[name]}")
    model = next((model for model in found if model.name == name), None)
    if model is None:
        raise no_such_model(name)
    return model


def _add_here(source: Path, name: str) -> OfferedModel:
    from cryomamba.settings import load_settings
    from cryomamba_server.audit import audit_command
    from cryomamba_server.model_store.store import ModelStore

    settings = load_settings()
    ModelStore.of(settings).add(source, name)
    added = _named(name, None)
    audit_command(settings.audit_file, "model.add", model=added.name, sha256=added.sha256)
    return added


def _send(source: Path, name: str, server: str) -> ListedModel:
    from functools import partial

    import cryomamba
    from cryomamba_cli.reporter import stderr_reporter
    from cryomamba_cli.signals import Interrupted, interruptible

    with stderr_reporter(json=False) as display, interruptible(), cryomamba.connect(server) as client:
        try:
            return client.add_model(
                source,
                name,
                progress=partial(display.transfer, source.name),
                reading=partial(display.transfer, f"reading {source.name}"),
            )
        except Interrupted:
            display.note("Interrupted. The server does not have the model; run the same command again to continue.")
            raise


def _accept(model: OfferedModel, server: str | None) -> OfferedModel:
    if server is not None:
        import cryomamba

        with cryomamba.connect(server) as client:
            return client.accept_licence(model.name, model.licence)
    from cryomamba.settings import load_settings
    from cryomamba_server.audit import audit_command
    from cryomamba_server.model_store.licences import Licences

    settings = load_settings()
    Licences(settings.licences).accept(model.name, model.sha256, model.licence)
    audit_command(settings.audit_file, "model.accept_licence", model=model.name, licence=model.licence)
    return model.model_copy(update={"licence_accepted": True})


def _remove_here(name: str) -> None:
    import asyncio

    from cryomamba.errors import UnavailableError
    from cryomamba.settings import load_settings
    from cryomamba_server.audit import audit_command
    from cryomamba_server.model_store.store import ModelStore
    from cryomamba_server.model_store.waiting_jobs import require_unused

    settings = load_settings()

    def check() -> None:
        try:
            asyncio.run(require_unused(settings, name))
        except UnavailableError:
            output.note("No broker runs with this data directory, so it is not known whether jobs need the model.")

    ModelStore.of(settings).remove(name, check)
    audit_command(settings.audit_file, "model.remove", model=name)


def _row(model: OfferedModel) -> tuple[str, ...]:
    licence = model.licence if model.licence_accepted else f"{model.licence} (not accepted)"
    return (
        model.name,
        model.kind,
        ", ".join(model.labels.values()),
        _voxel_size(model),
        output.nbytes(model.size_bytes),
        licence,
        str(len(_workers(model))) if hasattr(model, "workers") else "",
    )


def _workers(model: OfferedModel) -> Sequence[str]:
    return getattr(model, "workers", ())


def _voxel_size(model: OfferedModel) -> str:
    if model.voxel_size_A is None:
        return "any"
    sizes = [f"{size:g}" for size in model.voxel_size_A]
    return " × ".join(sizes[:1] if len(set(sizes)) == 1 else sizes) + " Å"


def _facts(model: OfferedModel) -> list[tuple[str, str]]:
    accepted = "" if not model.licence else " (accepted)" if model.licence_accepted else " (not accepted)"
    pairs = [
        ("name", model.name),
        ("title", model.title),
        ("summary", model.summary),
        ("engine", model.kind),
        ("labels", ", ".join(f"{number} {label}" for number, label in sorted(model.labels.items()))),
        ("voxel size", _voxel_size(model)),
        ("contrast", model.contrast),
        ("size", output.nbytes(model.size_bytes)),
        ("sha256", model.sha256),
        ("licence", f"{model.licence or 'not stated'}{accepted}"),
        ("authors", ", ".join(model.authors)),
        ("citation", model.citation),
        ("needs", f"pip install 'cryomamba[{model.needs}]'" if model.needs else ""),
        ("workers", ", ".join(_workers(model))),
    ]
    return [(name, text) for name, text in pairs if text]
