"""The notebooks run, and what is stored of them is what their sources say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "docs" / "notebooks").glob("*.py"))


@pytest.fixture(scope="module")
def notebooks() -> ModuleType:
    """``docs/notebooks.py`` as a module."""
    spec = importlib.util.spec_from_file_location("notebooks", ROOT / "docs" / "notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_what_is_stored_is_up_to_date(source: Path, notebooks: ModuleType) -> None:
    """Notebook and page have the cells of the source, with results; ``python docs/notebooks.py`` writes them."""
    cells = list(notebooks.cells(source))
    stored = nbformat.read(source.with_suffix(".ipynb"), as_version=4)  # type: ignore[no-untyped-call]
    assert [(one.cell_type, one.source) for one in stored.cells] == cells
    page = source.with_suffix(".md").read_text(encoding="utf-8")
    assert all(text in page for _, text in cells)
    assert any(one.get("outputs") for one in stored.cells)
    assert source.with_suffix(".ipynb").stat().st_size < 400_000
    assert "/tmp/" not in page


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_runs(source: Path, notebooks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, from the first cell to the last, without an error."""
    monkeypatch.setenv("CRYOMAMBA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRYOMAMBA_PROCESSES", "1")
    (tmp_path / "work").mkdir()
    made = notebooks.run(source, tmp_path / "work")
    assert all(one.output_type != "error" for cell in made.cells for one in cell.get("outputs", []))
