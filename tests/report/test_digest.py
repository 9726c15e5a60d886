"""The page of all tables, of small files written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from crgan.cli import main
from crgan.report.digest import TABLES

CLAIMS = """# The paper's claims, weighed

## By claim

| CR-GAN is best | 1 |

## Table 1

| a long list |
"""
HEAD = "profile,method,source,target,R1,R1_std,R1_paper\n"


def _results(folder: Path) -> Path:
    for name in (*TABLES, "renderings.md"):
        (folder / name).write_text(f"## {name}\n\ntext # of it\n\n### Notes\n\n1. small\n")
    (folder / "claims.md").write_text(CLAIMS)
    rows = [f"demo,{m},market1501,dukemtmc,{r},,{p}\n" for m, r, p in ("A11", "B22", "C33")]
    for number in (5, 6, 7):
        (folder / f"table{number}.csv").write_text(HEAD + "".join(rows))
    return folder


def test_tables_claims_and_orders_stand_below_one_another(tmp_path: Path) -> None:
    out = tmp_path / "tables.md"
    with pytest.raises(SystemExit) as ended:
        main(["digest", str(_results(tmp_path)), "--out", str(out)])
    assert ended.value.code == 0
    page = out.read_text()
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert headings[:3] == ["# Measured tables", "### table1.md", "#### Notes"]
    assert headings[-3:] == [
        "## The paper's claims", "### By claim", "## Orders of methods beside the printed ones",
    ]  # fmt: skip
    assert "text # of it" in page
    assert "| CR-GAN is best | 1 |" in page
    assert "a long list" not in page
    assert page.count("| +1.00 | C (1), B (2), A (3) |") == 3


@pytest.mark.parametrize(
    ("missing", "mend"), [("table3.md", "results/table3.csv"), ("claims.md", "claims.csv")]
)
def test_what_is_missing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str, mend: str
) -> None:
    (_results(tmp_path) / missing).unlink()
    with pytest.raises(SystemExit) as ended:
        main(["digest", str(tmp_path), "--out", str(tmp_path / "tables.md")])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert missing in said
    assert Path(mend).name in said
    assert not (tmp_path / "tables.md").exists()
