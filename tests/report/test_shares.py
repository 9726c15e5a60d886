"""What cells cost, from records written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crgan.cli import main
from crgan.common.errors import UserError
from crgan.common.io import write_json
from crgan.report.shares import by_cell, by_stage, report, shares


def write(
    folder: Path, name: str, stage: str, cell: dict[str, Any], seconds: float, mb: float
) -> None:
    record = {
        "stage": stage, "cell": cell, "outputs": {f"{name}.pt": {"sha256": name}},
        "run": {"wall_seconds": seconds, "peak_memory_mb": mb},
    }  # fmt: skip
    path = folder / f"{name}.prov.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, record)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pair = {"source": "m", "target": "d"}
    write(tmp_path, "gan/seed0", "train_gan", {"method": "crgan", "seed": 0, **pair}, 60, 800)
    write(tmp_path, "gan/seed1", "train_gan", {"method": "crgan", "seed": 1, **pair}, 40, 900)
    write(tmp_path, "scores/seed0", "evaluate", {"method": "crgan", "seed": 0, **pair}, 10, 500)
    write(tmp_path, "spgan", "train_translation", {"method": "spgan", "a": "m", "b": "d"}, 80, 700)
    write(tmp_path, "data", "prepare_data", {"dataset": "m"}, 10, 100)
    return tmp_path


def test_shares_by_hand(folder: Path) -> None:
    cells = shares([folder], by_cell)
    assert [(s.name, s.jobs, s.seconds, s.memory) for s in cells] == [
        ("crgan m-d", 3, 110, 900), ("spgan m-d", 1, 80, 700), ("(prepare_data)", 1, 10, 100),
    ]  # fmt: skip
    assert [s.share for s in cells] == [55, 40, 5]
    assert [s.name for s in shares([folder], by_stage)][:2] == ["train_gan", "train_translation"]
    assert "| crgan m-d | 3 | 110 | 55.0 | 900 |" in report(cells)
    assert "| all | 5 | 200 | 100.0 | |" in report(cells)


def test_a_job_of_two_records_counts_once(folder: Path) -> None:
    twin = folder / "again" / "data.prov.json"
    twin.parent.mkdir()
    twin.write_bytes((folder / "data.prov.json").read_bytes())
    assert sum(s.jobs for s in shares([folder], by_stage)) == 5


def test_no_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"no \.prov\.json files"):
        shares([tmp_path], by_cell)
    with pytest.raises(SystemExit):
        main(["shares", str(tmp_path)])
    assert "no .prov.json files" in capsys.readouterr().err
