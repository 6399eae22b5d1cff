"""Write into the reference pages what the code itself knows: commands, settings, routes, constants, engines.

``python docs/generate.py`` brings every block between ``<!-- generated: NAME -->`` and ``<!-- end -->`` up to date; a
test fails while one is not.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from typer.core import TyperCommand, TyperOption

PAGES: Final = Path(__file__).parent
_BLOCK: Final = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").replace("``", "`").split())


def commands() -> str:
    """Return every command with its usage, arguments and options."""
    from typer.main import get_command

    from cryomamba_cli.app import app

    group: Any = get_command(app)
    return "\n".join(_commands("", group))


def _commands(prefix: str, group: Any) -> Iterator[str]:  # noqa: ANN401 (typer's own)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(f"{prefix}{name} ", command)
        else:
            yield _command(prefix + name, command)


def _command(name: str, command: TyperCommand) -> str:
    from typer.core import TyperArgument, TyperOption

    help_text = "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))
    parts = [f"## {name}", help_text]
    arguments = [one for one in command.params if isinstance(one, TyperArgument)]
    # Every command has these; the page says so once.
    shared = {"help", "quiet", "verbose"}
    options = [one for one in command.params if isinstance(one, TyperOption) and one.name not in shared]
    if arguments:
        rows = [(f"`{one.metavar or (one.name or '').upper()}`", one.help or "") for one in arguments]
        parts.append(table(("Argument", "Meaning"), rows).rstrip())
    if options:
        parts.append(table(("Option", "Default", "Meaning"), map(_option, options)).rstrip())
    if command.epilog:
        lines = command.epilog.replace("\\[", "[").split("\n\n")[1:]
        parts.append("```console\n" + "\n".join(f"$ {line.strip()}" for line in lines) + "\n```")
    return "\n\n".join(parts) + "\n"


def _option(one: TyperOption) -> tuple[str, str, str]:
    names = ", ".join(f"`{text}`" for text in (*one.opts, *one.secondary_opts))
    flag = one.is_flag or one.default in (None, "", [])
    return names, "" if flag else f"`{one.default}`", one.help or ""


def error_codes() -> str:
    """Return every error code with its class, HTTP status and exit code, and when it occurs."""
    from cryomamba.errors import ErrorCode, error_from_payload
    from cryomamba_gateway.errors import STATUS
    from cryomamba_server.exit_codes import exit_code

    errors = [error_from_payload({"code": code}) for code in ErrorCode]
    rows = [
        (f"`{e.code}`", f"`{type(e).__name__}`", STATUS[e.code], exit_code(e).value, e.code.description) for e in errors
    ]
    return table(("Code", "Class", "HTTP", "Exit", "When"), rows)


def exit_codes() -> str:
    """Return what every exit code means."""
    from cryomamba_server.exit_codes import MEANINGS, ExitCode

    return table(("Code", "Meaning"), [(code.value, MEANINGS[code]) for code in ExitCode])


def settings() -> str:
    """Return every environment variable of the settings."""
    from cryomamba.settings import Settings

    defaults = {"home": "the user's data folder", "roots": "the home directory"}
    rows = []
    for name, field in Settings.model_fields.items():
        sized = isinstance(field.default, int) and "bytes" in (field.description or "")
        default = defaults.get(name) or (_size(field.default) if sized else _default(field.default))
        rows.append((f"`CRYOMAMBA_{name.upper()}`", default, field.description))
    return table(("Variable", "Default", "Meaning"), rows)


def _default(value: object) -> str:
    from pydantic_core import PydanticUndefined

    return "none" if value in (None, "", ()) or value is PydanticUndefined else f"`{value}`"


def _size(count: int) -> str:
    """Return bytes as one would set them."""
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2)):
        if count and count % factor == 0:
            return f"`{count // factor}{unit}`"
    return f"`{count}`"


def constants() -> str:
    """Return the numbers of the bus."""
    from cryomamba.wire import constants as module

    rows = [(f"`{name}`", f"{value}") for name, value in vars(module).items() if name.isupper()]
    return table(("Constant", "Value"), rows)


def requests() -> str:
    """Return every request of the jobs socket with its fields."""
    from cryomamba.wire.requests import REQUESTS

    rows = [(f"`{name}`", ", ".join(_fields(model.model_json_schema())) or "none") for name, model in REQUESTS.items()]
    return table(("Request", "Fields of the body"), rows)


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    required = schema.get("required", ())
    for name in schema.get("properties", {}):
        yield f"`{name}`" + ("" if name in required else "?")


def routes() -> str:
    """Return the gateway's routes, without HEAD, which is wherever GET is."""
    from cryomamba.settings import Settings
    from cryomamba_gateway.app import create_app

    paths = create_app(Settings()).openapi()["paths"]
    rows = [
        (f"`{method.upper()} {path}`", _sentence(about), ", ".join(_statuses(about)))
        for path, methods in paths.items()
        for method, about in methods.items()
        if method != "head"
    ]
    return table(("Route", "What it does", "Answers"), rows)


def _sentence(about: Mapping[str, Any]) -> str:
    return str(about.get("description") or about.get("summary", "")).split("\n\n")[0]


def _statuses(about: Mapping[str, Any]) -> list[str]:
    return sorted(status for status in about.get("responses", {}) if status.isdigit())


def engines() -> str:
    """Return every engine of ours with its parameters; other packages may have installed more."""
    from cryomamba.engines.registry import Registry
    from cryomamba_cli.parameters import describe

    parts = []
    registry = Registry.discover()
    ours = [name for name, engine in registry.engines.items() if engine.__module__.startswith("cryomamba_inference.")]
    for info in (info for info in registry.infos() if info.name in ours):
        heads = ("Parameter", "Default", "Unit", "Type", "Bounds", "Meaning")
        rows = [
            (
                f"`{one.name}`",
                f"`{one.default}`" if one.default else "required",
                one.unit,
                one.kind,
                one.bounds,
                one.description,
            )
            for one in describe(info.parameters)
        ]
        parts.append(f"## {info.name}\n\n{info.summary}\n\n{table(heads, rows)}")
    return "\n".join(parts)


def licences() -> str:
    """Return the licence of every package that is installed with an extra."""
    sys.path.insert(0, str(PAGES))
    import licences as module

    return table(("Package", "Licence", "Comes with"), module.table())


def example(package: str, *files: str) -> Callable[[], str]:
    """Return a function that gives files of an example, each as a block of code."""

    def blocks() -> str:
        folder = PAGES.parent / "examples" / package
        return "\n".join(_code_block(name, (folder / name).read_text("utf-8")) for name in files)

    return blocks


def _code_block(name: str, text: str) -> str:
    language = "toml" if name.endswith(".toml") else "python"
    return f'```{language} title="{name}"\n{text}```\n'


BLOCKS: Final[Mapping[str, Callable[[], str]]] = {
    "commands": commands,
    "constants": constants,
    "engines": engines,
    "error-codes": error_codes,
    "example-beads": example("cryomamba-beads", "cryomamba_beads.py"),
    "example-kmeans": example("cryomamba-kmeans", "cryomamba_kmeans.py"),
    "example-package": example("cryomamba-spots", "pyproject.toml"),
    "example-spotnet": example("cryomamba-spotnet", "cryomamba_spotnet/__init__.py"),
    "example-spots": example("cryomamba-spots", "cryomamba_spots.py"),
    "exit-codes": exit_codes,
    "licences": licences,
    "requests": requests,
    "routes": routes,
    "settings": settings,
}


def renewed(text: str) -> str:
    """Return a page with its generated blocks as the code has them now."""
    return _BLOCK.sub(lambda match: f"{match[1]}\n{BLOCKS[match[2]]()}\n{match[3]}", text)


def main() -> int:
    """Renew all pages; say which have changed."""
    for page in sorted(PAGES.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        now = renewed(text)
        if now != text:
            page.write_text(now, encoding="utf-8")
            sys.stdout.write(f"renewed {page.relative_to(PAGES)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
