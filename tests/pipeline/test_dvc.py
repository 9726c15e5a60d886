"""DVC above Snakemake: whatever is done in one checkout, no table shows a stale number, and what
stands is not made again.

The stages are stubs that write digests of their parameters and inputs, so a table of other
parameters is another table. The rules, dvc.yaml, records and commands are the real ones.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.stub_project import SMALL, make, run, set_params, starts

TABLE = "results/table6.csv"
LAMBDA = "loss.lambda_con=7"
AFTER_LOSS = {"train_gan", "finetune", "evaluate", "measure_images", "judge_images", "make_table",
              "tabulate_renderings", "bound_table", "tabulate_cmc", "weigh_claims", "select",
              "draw_rank_lists"}  # fmt: skip


class Project:
    """A stub project and what was last run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def snakemake(self, *words: str, check: bool = True) -> str:
        return run(self.folder, "snakemake", "--cores", "2", *words, check=check)

    def dvc(self, *words: str, check: bool = True) -> str:
        return run(self.folder, "dvc", *words, check=check)

    def git(self, *words: str) -> str:
        return run(self.folder, "git", *words)

    def ran(self) -> Counter[str]:
        """How many jobs of each stage ran since this was last asked."""
        return Counter(line.split()[0] for line in starts(self.folder))

    def table(self) -> bytes:
        return (self.folder / TABLE).read_bytes()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by `dvc repro` and committed."""
    project = Project(make(tmp_path_factory.mktemp("built") / "project", SMALL, (1, 2, 6)))
    project.dvc("repro")
    assert project.ran()["train_gan"] == 1
    project.git("add", ".")
    project.git("commit", "-q", "-m", "results")
    return project.folder


@pytest.fixture(scope="module")
def seven(built: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Table 6 of a clean build with lambda_con 7."""
    folder = tmp_path_factory.mktemp("seven") / "project"
    shutil.copytree(built, folder)
    for name in ("artifacts", "results", ".snakemake", ".scratch"):
        shutil.rmtree(folder / name)
    project = Project(folder)
    project.snakemake(TABLE, "--config", f"set=[{LAMBDA}]")
    return project.table()


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Project:
    """A copy of the built project; times are kept, as Snakemake goes by them."""
    shutil.copytree(built, tmp_path / "project", copy_function=shutil.copy2, symlinks=True)
    return Project(tmp_path / "project")


def test_the_loss_weight_back_and_forth(project: Project, seven: bytes) -> None:
    """repro, exp run, snakemake, checkout, and the trap: parameters of one branch, files of
    another, and a Snakemake that remembers both.
    """
    five = project.table()
    assert five != seven
    assert "didn't change, skipping" in project.dvc("repro")
    project.snakemake()
    assert not project.ran()

    project.dvc("exp", "run", "-S", LAMBDA)
    assert set(project.ran()) == AFTER_LOSS
    assert project.table() == seven
    assert "loss.lambda_con" in project.dvc("params", "diff")
    assert "lambda_con" in project.dvc("exp", "show", "--only-changed", "--md")
    project.snakemake()
    assert not project.ran()

    project.git("checkout", "-q", ".")
    project.dvc("checkout", "-q")
    project.snakemake()
    assert not project.ran()
    assert project.table() == five

    # engines.md, "B, wrong result": files of 5, Snakemake's notes of 7, parameters 7
    set_params(project.folder, {"loss.lambda_con": 7})
    project.dvc("repro")
    assert project.table() == seven
    project.ran()

    project.git("checkout", "-q", "params.yaml", "dvc.lock")
    assert project.table() == seven  # files of 7 under parameters of 5
    assert "do not stand" in project.snakemake("-n")
    assert project.table() == seven  # a plan changes nothing
    project.snakemake()
    assert project.table() == five
    project.ran()
    project.dvc("repro")
    assert not project.ran()
    assert project.table() == five
