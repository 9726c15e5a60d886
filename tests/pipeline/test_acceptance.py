"""Working with both engines in one checkout: whatever is done, no table shows a stale number.

The stages are stubs that write digests of their parameters and inputs, so a table of other
parameters is another table. The rules, dvc.yaml, records and commands are the real ones.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from crgan.pipeline.reconcile import snakemake_record
from tests.stub_project import PAIR, SMALL, make, run, set_params, starts

TABLES = (1, 2, 6)
JOBS = 34
AFTER_LOSS = {
    "train_gan": 1, "finetune": 1, "evaluate": 1, "measure_images": 1, "judge_images": 1,
    "draw_rank_lists": 1, "make_table": 3, "tabulate_renderings": 1, "bound_table": 3,
    "tabulate_cmc": 2, "weigh_claims": 1, "select": 1,
}  # fmt: skip
LAMBDA = "loss.lambda_con=7"
TABLE = "results/table6.csv"


class Project:
    """A stub project and what was last run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def snakemake(self, *words: str, check: bool = True) -> str:
        return run(self.folder, "snakemake", "--cores", "2", *words, check=check)

    def dvc(self, *words: str) -> str:
        return run(self.folder, "dvc", *words)

    def git(self, *words: str) -> str:
        return run(self.folder, "git", *words)

    def commit(self) -> str:
        """`engines commit`, then git's."""
        answer = run(self.folder, "python", "-m", "crgan.pipeline", "commit")
        self.git("add", "dvc.lock")
        self.git("commit", "-q", "--allow-empty", "-m", "results")
        return answer

    def ran(self) -> Counter[str]:
        """How many jobs of each stage ran since this was last asked."""
        return Counter(line.split()[0] for line in starts(self.folder))

    def table(self) -> bytes:
        return (self.folder / TABLE).read_bytes()

    def files(self) -> dict[str, tuple[int, int, int]]:
        """Every file that an engine knows, with what changes when it is touched."""
        found = {}
        for name in ("artifacts", "results", ".snakemake/metadata", "logs", ".scratch"):
            for path in (self.folder / name).rglob("*"):
                if path.is_file() and "cache" not in path.parts:
                    stat = path.stat()
                    found[str(path)] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by Snakemake, recorded in dvc.lock, committed."""
    project = Project(make(tmp_path_factory.mktemp("built") / "project", SMALL, TABLES))
    project.snakemake()
    assert sum(project.ran().values()) == JOBS
    assert f"{JOBS + 2} stages recorded in dvc.lock, 0 not built" in project.commit()
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
    shutil.copytree(built, tmp_path / "project", copy_function=shutil.copy2)
    return Project(tmp_path / "project")


def test_both_engines_one_after_the_other(project: Project, seven: bytes) -> None:
    """The acceptance sequence: both engines, branches, checkouts, changed parameters."""
    five = project.table()
    assert five != seven

    project.snakemake()
    project.dvc("repro")
    assert not project.ran()  # no-ops after each other

    project.dvc("exp", "run", "-S", LAMBDA)
    assert project.ran() == AFTER_LOSS
    assert project.table() == seven
    assert "results/demo/cells/crgan/market1501-dukemtmc/seed0.json" in project.dvc(
        "metrics", "diff"
    )
    assert "made outside Snakemake and are current" in project.snakemake()
    assert not project.ran()  # adopted
    assert project.table() == seven

    project.git("checkout", "-q", ".")
    project.dvc("checkout", "-q")
    project.snakemake()
    assert not project.ran()
    assert project.table() == five

    project.dvc("exp", "run", "-S", LAMBDA)
    assert not project.ran()  # from DVC's run cache
    assert project.table() == seven

    # The trap: parameters of one branch, files of another, and a Snakemake that remembers both.
    project.git("checkout", "-q", "params.yaml", "dvc.lock")
    plan = project.snakemake("-n")
    assert "outputs are stale" in plan
    assert "parameters changed: loss.lambda_con was 7, is 5" in plan
    assert project.table() == seven  # a plan changes nothing
    project.snakemake()
    assert project.ran() == AFTER_LOSS
    assert project.table() == five

    set_params(project.folder, {"loss.lambda_con": 7})
    project.snakemake(TABLE)
    assert project.ran() == {"train_gan": 1, "finetune": 1, "evaluate": 1, "make_table": 1}
    assert project.table() == seven
    refused = run(project.folder, "python", "-m", "crgan.pipeline", "commit", check=False)
    assert "is no longer the one it was made from" in refused  # Table 1, not asked for
    project.snakemake()
    project.commit()
    project.ran()
    project.dvc("repro")
    assert not project.ran()
    assert project.table() == seven


def test_without_a_memory_the_records_decide(project: Project, seven: bytes) -> None:
    """Snakemake's own memory deleted, then other parameters: it would see nothing to do."""
    shutil.rmtree(project.folder / ".snakemake")
    project.snakemake()
    assert not project.ran()
    shutil.rmtree(project.folder / ".snakemake")
    project.snakemake("--config", f"set=[{LAMBDA}]")
    assert project.ran() == AFTER_LOSS
    assert project.table() == seven


def test_a_fresh_clone_gets_the_results_and_reruns_nothing(
    project: Project, seven: bytes, tmp_path: Path
) -> None:
    """`dvc pull` hands out files in any order of time."""
    project.dvc("remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    project.dvc("push", "-q")
    run(tmp_path, "git", "clone", "-q", str(project.folder), str(tmp_path / "clone"))
    shutil.copy2(project.folder / ".dvc/config", tmp_path / "clone/.dvc/config")
    clone = Project(tmp_path / "clone")
    clone.dvc("pull", "-q")
    clone.snakemake()
    assert not clone.ran()
    assert clone.table() == project.table()
    set_params(clone.folder, {"loss.lambda_con": 7})
    clone.snakemake()
    assert clone.ran() == AFTER_LOSS
    assert clone.table() == seven


def test_profiles_live_side_by_side(project: Project) -> None:
    demo = project.table()
    project.snakemake(TABLE, "--config", "profile=smoke")
    assert project.table() != demo
    assert (project.folder / "artifacts/demo").is_dir()
    project.ran()
    project.snakemake(TABLE, "--config", "profile=smoke")
    assert not project.ran()
    project.snakemake(TABLE)
    assert project.ran() == {"make_table": 1}  # the one path both profiles share
    assert project.table() == demo


def test_dvc_switches_profiles(project: Project) -> None:
    project.dvc("exp", "run", "-S", "profile=smoke", "make_table_6")
    assert sum(project.ran().values()) == 17
    smoke = project.table()
    project.snakemake(TABLE)
    assert not project.ran()
    shutil.rmtree(project.folder / "artifacts")
    shutil.rmtree(project.folder / "results")
    project.snakemake(TABLE)  # params.yaml says smoke now
    assert project.table() == smoke


def test_seeds_add_cells(project: Project) -> None:
    before = project.files()
    set_params(project.folder, {"matrix.seeds": [0, 1]})
    project.snakemake()
    counts = project.ran()
    assert counts == {"pretrain_id": 1, "pretrain_cam": 1, "fresh_cnn": 1, "adapt": 2,
                      "train_gan": 1, "finetune": 1, "evaluate": 3, "measure_images": 1,
                      "judge_images": 1, "draw_rank_lists": 1, "make_table": 3,
                      "tabulate_renderings": 1, "bound_table": 3, "tabulate_cmc": 2,
                      "weigh_claims": 1, "select": 1}  # fmt: skip
    kept = [name for name in before if "/gan/" in name and name.endswith(".pt")]
    assert kept
    assert all(project.files()[name] == before[name] for name in kept)


def test_a_cell_put_before_others_trains_nothing_again(project: Project) -> None:
    """DVC numbers cells by their place; its run cache knows them by their command."""
    matrix = [{"method": "wo_camera_loss", "model": "crgan", **PAIR}, *SMALL["matrix.gan"]]
    set_params(project.folder, {"matrix.gan": matrix})
    run(project.folder, "python", "-m", "crgan.pipeline", "dvc-yaml")
    project.dvc("repro")
    counts = project.ran()
    assert counts == {"train_gan": 1, "finetune": 1, "evaluate": 1}  # no table here shows it


def test_damaged_files_are_made_again(project: Project) -> None:
    """Other content of the same length, a truncated file, a lost record."""
    six = project.table()
    art = project.folder / "artifacts/demo"
    swapped, cut = art / "gan/crgan/market1501-dukemtmc/seed0.pt", art / "d_cam/dukemtmc/seed0.pt"
    swapped.write_text("x" * swapped.stat().st_size)
    os.truncate(cut, 3)
    (art / "masks/dukemtmc.prov.json").unlink()
    refused = run(project.folder, "python", "-m", "crgan.pipeline", "commit", check=False)
    assert "masks/dukemtmc.h5: no provenance record. Nothing was recorded" in refused
    project.snakemake()
    assert project.ran() == {"extract_masks": 1, "pretrain_cam": 1, **AFTER_LOSS}
    assert project.table() == six


def test_touched_sources_rerun_nothing_and_changed_ones_do(project: Project) -> None:
    for path in [*project.folder.glob("crgan/**/*.py"), *project.folder.glob("stages/*.py")]:
        os.utime(path)
    run_only = project.folder / "crgan/common/io.py"  # knows no science
    run_only.write_text(run_only.read_text() + "\n# a change\n")
    project.snakemake()
    project.dvc("repro")
    assert not project.ran()
    method = project.folder / "crgan/gan/crgan.py"
    method.write_text(method.read_text() + "\n# a change\n")
    project.snakemake()
    assert project.ran() == AFTER_LOSS


def test_options_that_only_look_change_nothing(project: Project, tmp_path: Path) -> None:
    """With files of another program, and stale ones, on disk."""
    project.snakemake(TABLE, "--config", f"set=[{LAMBDA}]")  # now stale
    shutil.rmtree(project.folder / ".snakemake/metadata")  # now of unknown origin
    before = project.files()
    for words in (
        ("-np",), ("--lint",), ("--dag",), ("--unlock",),
        ("--report", str(tmp_path / "report.html")),
    ):  # fmt: skip
        project.snakemake(*words)
        assert project.files() == before, words


def test_snakemakes_own_record_is_where_reconcile_looks(project: Project) -> None:
    """The format of its memory is not promised; an upgrade that changes it must be seen here."""
    import json

    name = "artifacts/demo/gan/crgan/market1501-dukemtmc/seed0.pt"
    record = json.loads((project.folder / snakemake_record(name)).read_text())
    assert record["rule"] == "train_gan"
    assert record["endtime"] == (project.folder / name).stat().st_mtime
    assert len(record["params"]) == 2
