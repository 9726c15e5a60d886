"""docs/tour.ipynb runs from a clean checkout, and is kept without outputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.stub_project import clean_environment, make

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs/tour.ipynb"


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_kept_without_outputs() -> None:
    for cell in code_cells(nbformat.read(NOTEBOOK, as_version=4)):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_it_runs_and_shows_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "project", stubbed=False)
    for name, value in clean_environment(folder, CRGAN_TOUR_PROFILE="smoke").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    for name in [n for n in os.environ if n.startswith(("CRGAN_", "SNAKEMAKE_"))]:
        if name != "CRGAN_TOUR_PROFILE":
            monkeypatch.delenv(name)
    notebook = nbformat.read(folder / "docs/tour.ipynb", as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3",
        resources={"metadata": {"path": str(folder / "docs")}},
    )  # fmt: skip
    client.execute()  # raises where a cell does
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    shown = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(shown) == 6  # both sets, masks, renderings, losses, ranks of two CNNs
    said = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "CR-GAN           R1" in said
