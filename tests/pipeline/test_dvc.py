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
AFTER_LOSS = {
    "train_gan", "finetune", "evaluate", "measure_images", "judge_images", "draw_rank_lists",
    "select", "make_table", "bound_table", "tabulate_cmc", "tabulate_renderings", "tabulate_all",
    "weigh_claims",
}  # fmt: skip


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


@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_files_that_are_links_into_the_cache(project: Project, kind: str) -> None:
    """Another parameter makes another score, and the old one comes back, cache untouched."""
    score = project.folder / "results/demo/cells/direct_transfer/market1501-dukemtmc/seed0.json"
    project.dvc("config", "cache.type", kind)
    project.dvc("checkout", "--relink", "-q")
    assert score.is_symlink() or score.stat().st_nlink > 1
    before = score.read_bytes()
    set_params(project.folder, {"profiles.demo.pretrain_id.lr": 0.25})
    project.snakemake(str(score.relative_to(project.folder)))
    assert project.ran() == {"pretrain_id": 1, "evaluate": 1}
    assert score.read_bytes() != before

    project.git("checkout", "-q", ".")
    project.dvc("checkout", "-q", "--force")
    project.snakemake()
    assert not project.ran()
    assert score.read_bytes() == before


def test_a_fresh_clone_pulls_and_makes_nothing(project: Project, tmp_path: Path) -> None:
    project.dvc("remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    project.git("commit", "-qam", "a remote")
    project.dvc("push", "-q")
    run(tmp_path, "git", "clone", "-q", str(project.folder), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    clone.dvc("pull", "-q")
    clone.snakemake()
    clone.dvc("repro")
    assert not clone.ran()
    assert clone.table() == project.table()

    set_params(clone.folder, {"loss.lambda_con": 7})
    clone.snakemake()
    assert set(clone.ran()) == AFTER_LOSS


def test_an_experiment_in_a_folder_of_its_own(project: Project, seven: bytes) -> None:
    log = project.folder / ".scratch/run.log"
    words = ("dvc", "exp", "run", "--temp", "-S", LAMBDA, "-n", "elsewhere")
    run(project.folder, *words, STUB_LOG=str(log))
    assert set(project.ran()) == AFTER_LOSS
    project.dvc("exp", "apply", "-q", "elsewhere")
    assert project.table() == seven
    project.snakemake()
    assert not project.ran()


def test_dvc_commit_of_a_stale_table_does_not_bless_it(project: Project) -> None:
    set_params(project.folder, {"loss.lambda_con": 7})
    project.dvc("commit", "-f", "-q")
    said = project.dvc("repro", check=False)
    assert "loss.lambda_con was 5" in said
    assert "run snakemake --cores all, then dvc repro" in said
    project.snakemake()
    assert set(project.ran()) == AFTER_LOSS
    project.dvc("repro")
    assert not project.ran()
