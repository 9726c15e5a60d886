"""README shows what the recorded study measured, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import mean

from crgan.common.io import read_json
from crgan.pipeline import params
from tools.readme_results import BEGIN, END, GROUPS, TARGETS

ROOT = Path(__file__).parents[1]
CELLS = ROOT / "recorded" / "study" / "results" / "study" / "cells"
METHODS = params.load(ROOT / "params.yaml")["methods"]
FOLDERS = {method["label"]: name for name, method in METHODS.items()}


def rank1(label: str, pair: str) -> str:
    """R1 of a row of Table 6, the mean over the recorded seeds; "-" where none is recorded."""
    pooling = "lmp" if label.endswith("+LMP") else "global"
    folder = CELLS / FOLDERS[label.removesuffix("+LMP")] / pair
    cells = sorted(folder.glob("seed*.json"))
    if not cells:
        return "-"
    return f"{mean(read_json(cell)['pooling'][pooling]['rank1'] for cell in cells):.1f}"


def test_the_table_of_results_is_the_recorded_studys() -> None:
    text = (ROOT / "README.md").read_text()
    shown = text[text.index(BEGIN) + len(BEGIN) : text.index(END)]
    rows = re.findall(r"^\| (?!type).*", shown, re.M)
    assert len(rows) == len(GROUPS)
    for row, (kind, *labels) in zip(rows, GROUPS, strict=True):
        cells = [cell.strip().replace("*", "") for cell in row.strip("|").split("|")]
        assert cells[:2] == [kind, ", ".join(labels)]
        for target, cell in zip(TARGETS, (cells[2], cells[4]), strict=True):
            source = TARGETS[target == TARGETS[0]]
            assert cell == ", ".join(rank1(label, f"{source}-{target}") for label in labels)
