"""A dry run lists the jobs that a real run does, whatever became stale, and changes nothing.

The stages are stubs (`tests/stub_project.py`); rules, records and Snakemake are the real ones.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stub_project import SMALL, make, run, set_params, starts

TABLE = "results/table6.csv"
SEVEN = ("--config", "set=[loss.lambda_con=7]")
GAN = "artifacts/demo/gan/crgan/market1501-dukemtmc/seed0"


def snakemake(folder: Path, *words: str) -> str:
    return run(folder, "snakemake", "--cores", "2", *words)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make(tmp_path_factory.mktemp("built") / "project", SMALL, (1, 2, 6))
    snakemake(folder, TABLE)
    return folder


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """A copy of the built project; times are kept, as Snakemake goes by them."""
    shutil.copytree(built, tmp_path / "project", copy_function=shutil.copy2, symlinks=True)
    starts(tmp_path / "project")
    return tmp_path / "project"


def parameters(folder: Path) -> None:
    set_params(folder, {"loss.lambda_con": 7})


def parameters_back(folder: Path) -> None:
    snakemake(folder, f"{GAN}.pt", *SEVEN)


def parameters_back_and_nothing_made(folder: Path) -> None:
    """All that was put aside stands again."""
    snakemake(folder, "artifacts/demo/masks/dukemtmc.h5", *SEVEN)


def code(folder: Path) -> None:
    with (folder / "crgan/gan/crgan.py").open("a") as file:
        file.write("\nADDED = 1\n")


def content(folder: Path) -> None:
    (folder / "artifacts/demo/d_id/market1501/seed0.pt").write_text("other weights")


def a_sheet_that_nothing_reads(folder: Path) -> None:
    (folder / f"{GAN}.png").write_text("another sheet")


def a_record(folder: Path) -> None:
    (folder / f"{GAN}.prov.json").unlink()


def made_elsewhere(folder: Path) -> None:
    """Another generation, that Snakemake here knows nothing of, with times in any order."""
    elsewhere = folder.parent / "elsewhere"
    shutil.copytree(folder, elsewhere, copy_function=shutil.copy2, symlinks=True)
    parameters(elsewhere)
    snakemake(elsewhere, TABLE)
    parameters(folder)
    for top in ("artifacts", "results"):
        shutil.rmtree(folder / top)
        shutil.copytree(elsewhere / top, folder / top)
    for number, path in enumerate(sorted((folder / "artifacts").rglob("*"), reverse=True)):
        os.utime(path, ns=(number, number))


CHANGES: tuple[Callable[[Path], None], ...] = (
    parameters, parameters_back, parameters_back_and_nothing_made, code, content,
    a_sheet_that_nothing_reads, a_record, made_elsewhere,
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_plan_is_what_a_run_does(project: Path, change: Callable[[Path], None]) -> None:
    change(project)
    starts(project)
    before = contents(project)
    planned = plan(project, TABLE)
    assert contents(project) == before
    snakemake(project, TABLE)
    assert sorted(line.split()[1] for line in starts(project)) == planned


def plan(folder: Path, *words: str) -> list[str]:
    """The first outputs of the jobs that a dry run lists, but for steps, which have none."""
    said = snakemake(folder, "-n", "--printshellcmds", *words)
    return sorted(re.findall(r"^    output: ([^,\n]+)", said, re.MULTILINE))


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    tops = (folder / "artifacts", folder / "results")
    files = (path for top in tops for path in top.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_a_plan_says_why_and_keeps_to_what_is_asked_for(project: Path) -> None:
    said = snakemake(project, "-n", TABLE, *SEVEN)
    assert "loss.lambda_con was 5" in said
    assert "4 jobs would run" in said
    assert re.search(r"1  train_gan +parameters changed\n", said)
    assert re.search(r"1  make_table +what it reads is made anew\n", said)
    only_gan = plan(project, f"{GAN}.pt", *SEVEN)
    assert only_gan == [f"{GAN}.pt"]


def test_nothing_is_planned_where_all_stands(project: Path) -> None:
    assert plan(project, TABLE) == []
    (project / ".scratch/made.json").unlink()  # all of it is adopted
    assert plan(project, TABLE) == []
    assert json.loads((project / f"{GAN}.prov.json").read_text())["stage"] == "train_gan"
