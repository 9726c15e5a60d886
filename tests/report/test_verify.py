"""Making a result again by the workflow's rules; nothing that a record says is executed."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stub_project import SMALL, make, run

SCORE = "results/demo/cells/direct_transfer/market1501-dukemtmc/seed0.json"
RECORD = SCORE.replace(".json", ".prov.json")
CNN = "artifacts/demo/d_id/market1501/seed0.pt"
VERIFY = """
from crgan.report.verify import verify
for check in verify([{output!r}], deep={deep}):
    print("equal" if check.equal else "DIFFERS", check.output, check.numbers)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make(tmp_path_factory.mktemp("verify") / "project", SMALL, (1, 2, 6))
    run(folder, "snakemake", "--cores", "2", SCORE)
    return folder


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "project", copy_function=shutil.copy2)
    return tmp_path / "project"


def verify(folder: Path, *, deep: bool = False, output: str = SCORE) -> str:
    return run(
        folder, sys.executable, "-c", VERIFY.format(output=output, deep=deep), check=False
    )  # fmt: skip


def forge(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / RECORD
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_a_score_is_made_again_from_its_inputs_or_from_the_ground_up(project: Path) -> None:
    assert f"equal {SCORE}" in verify(project)
    (project / CNN).unlink()  # to save space
    assert f"{CNN}: not there" in verify(project)
    answer = verify(project, deep=True)
    assert f"equal {CNN}" in answer
    assert f"equal {SCORE}" in answer
    assert "DIFFERS" not in answer
    assert not (project / CNN).exists()  # the project is left as it was
    assert not list((project / ".scratch/verify").iterdir())


def test_numbers_that_differ_are_named(project: Path) -> None:
    true = json.loads((project / SCORE).read_text())["digest"]
    (project / SCORE).write_text(json.dumps({"digest": "forged"}))
    forge(project, lambda r: r["outputs"][SCORE].update(sha256="0" * 64))
    assert f"DIFFERS {SCORE} {{'digest': ('forged', '{true}')}}" in verify(project)


def test_no_word_of_a_record_is_executed(project: Path) -> None:
    mischief = "open('owned', 'w')"
    forge(project, lambda r: r["run"].update(argv=[sys.executable, "-c", mischief]))
    assert f"equal {SCORE}" in verify(project)
    for change in (
        lambda r: r.update(stage="make_table; touch owned"),
        lambda r: r.update(stage="../../evil"),
        lambda r: r["cell"].update(method="x;touch owned"),
        lambda r: r["inputs"].update({"../outside": "0" * 64}),
        lambda r: r["outputs"].update({"--directory=/": {"sha256": "0" * 64, "bytes": 1}}),
    ):
        original = (project / RECORD).read_text()
        forge(project, change)
        assert "not one of its own" in verify(project)
        (project / RECORD).write_text(original)
    assert not list(project.rglob("owned"))
