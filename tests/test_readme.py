"""README shows what the recorded run measured, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from crgan.common.io import read_json
from tools.readme_results import BEGIN, END, GROUPS, TARGETS

ROOT = Path(__file__).parents[1]


def test_the_table_of_results_is_the_recorded_runs() -> None:
    text = (ROOT / "README.md").read_text()
    shown = text[text.index(BEGIN) + len(BEGIN) : text.index(END)]
    rows = re.findall(r"^\| (?!type).*", shown, re.M)
    assert len(rows) == len(GROUPS)
    measured = read_json(ROOT / "results" / "metrics.json")["table6"]
    for row, (kind, *methods) in zip(rows, GROUPS, strict=True):
        cells = [cell.strip().replace("*", "") for cell in row.strip("|").split("|")]
        assert cells[:2] == [kind, ", ".join(methods)]
        for target, cell in zip(TARGETS, (cells[2], cells[4]), strict=True):
            source = TARGETS[target == TARGETS[0]]
            values = [measured[method][f"{source}-{target}"]["R1"] for method in methods]
            assert cell == ", ".join(f"{value:.1f}" for value in values)
