"""Run the notebooks, and write them with their results: as ``.ipynb`` to download, and as pages of the documentation.

``python docs/notebooks.py [NAME …]``. The sources are ``docs/notebooks/*.py`` with cells between ``# %%`` lines.
"""

from __future__ import annotations

import base64
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import nbformat
from nbclient import NotebookClient

FOLDER: Final = Path(__file__).parent / "notebooks"
PICTURES: Final = Path(__file__).parent / "images" / "notebooks"
TIMEOUT_S: Final = 900
_CELL: Final = re.compile(r"^# %%( \[markdown\])?\n", re.MULTILINE)
_PATH: Final = re.compile(r"/[^\s'\"<>]*/(?=[\w.-]+\.mrc)")


def sources() -> list[Path]:
    """Return the sources of the notebooks."""
    return sorted(FOLDER.glob("*.py"))


def cells(source: Path) -> Iterator[tuple[str, str]]:
    """Yield the kind of each cell, ``markdown`` or ``code``, with its text."""
    _, *parts = _CELL.split(source.read_text(encoding="utf-8"))
    for kind, text in zip(parts[::2], parts[1::2], strict=True):
        if kind:
            yield "markdown", "\n".join(line.removeprefix("#").removeprefix(" ") for line in text.strip().splitlines())
        else:
            yield "code", text.strip()


def notebook(source: Path) -> Any:  # noqa: ANN401 (nbformat has no types)
    """Return a notebook without results."""
    made = nbformat.v4.new_notebook()
    for number, (kind, text) in enumerate(cells(source)):
        new = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
        made.cells.append(new(text, id=f"cell-{number}"))
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return made


def run(source: Path, folder: Path) -> Any:  # noqa: ANN401
    """Return a notebook with its results; it runs in `folder`."""
    made = notebook(source)
    # As in an environment that has been activated.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    NotebookClient(
        made, timeout=TIMEOUT_S, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute(env={**os.environ, "PATH": path})
    for cell in made.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            # A name is enough, and the folder was a temporary one.
            for holder in (output, output.get("data", {})):
                for kind, value in holder.items():
                    if isinstance(value, str) and kind in {"text", "text/plain", "text/html"}:
                        holder[kind] = _PATH.sub("", value)
    return made


def page(made: Any, name: str) -> str:  # noqa: ANN401
    """Return a notebook as Markdown; its pictures are written into the folder of pictures."""
    lines = []
    count = 0
    for cell in made.cells:
        if cell.cell_type == "markdown":
            lines.append(cell.source)
            if len(lines) == 1:
                lines.append(f"[Download this notebook]({name}.ipynb){{ download }}, or read it here with its results.")
            continue
        lines.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                count += 1
                picture = PICTURES / f"{name}-{count}.png"
                picture.parent.mkdir(exist_ok=True)
                picture.write_bytes(base64.b64decode(data["image/png"]))
                lines.append(f"![Result of the cell above](../images/notebooks/{picture.name})")
            elif "text/html" in data:
                lines.append(f'<div class="notebook-output">\n{_one_block(data["text/html"])}\n</div>')
            elif output.output_type == "stream" or "text/plain" in data:
                text = output.get("text") or data["text/plain"]
                lines.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(lines) + "\n"


def _one_block(html: str) -> str:
    """Return HTML without empty lines, at which Markdown would end the block, and without styles of a whole page."""
    html = re.sub(r"<style.*?</style>", "", html, flags=re.DOTALL)
    return "\n".join(line.strip() for line in html.splitlines() if line.strip())


def main(names: list[str]) -> None:
    """Run the notebooks of these names, or all, and write them."""
    for source in sources():
        if names and source.stem not in names:
            continue
        with tempfile.TemporaryDirectory(prefix="cryomamba-notebook-") as folder:
            made = run(source, Path(folder))
        nbformat.write(made, source.with_suffix(".ipynb"))
        source.with_suffix(".md").write_text(page(made, source.stem), encoding="utf-8")
        print(f"ran {source.name}")


if __name__ == "__main__":
    main(sys.argv[1:])
