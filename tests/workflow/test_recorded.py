"""A recorded run: what is kept, and that a clone shows its numbers or says why not."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from crgan.common.errors import UserError
from crgan.common.io import load_arrays, read_json
from crgan.pipeline import params as parameters
from crgan.report.verify import verify
from crgan.workflow import recorded
from crgan.workflow.recorded import Recorded, rebuild, record
from tests import evidence_project as small
from tests.stub_project import SMALL, make, run, set_params

METHODS = {name: SMALL["methods"][name] for name in small.METHODS}
SETTINGS = {"profile": "smoke", **SMALL, "methods": METHODS, "seeds": list(small.SEEDS)}
DATA = "artifacts/smoke/data/dukemtmc/manifest.csv"
HISTORY = "artifacts/smoke/d_id/market1501/seed0.csv"
SCORE0, SCORE = small.score("buc", 0), small.score("buc", 1)
QUERIES = small.score("buc", 1, "queries", ".npz")
TABLES = ("results/table6.csv", "results/intervals/table6.csv", "results/curves/table6.csv",
          "results/claims.csv", "results/all.csv")  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in Git whose two methods were scored by the real stages, with two seeds."""
    folder = make(tmp_path_factory.mktemp("recorded") / "project", SETTINGS, stubbed=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv(parameters.ENVIRONMENT, raising=False)
        _measure()
    return folder


def _measure() -> None:
    from stages import evaluate, fetch_weights, fresh_cnn, prepare_data, pretrain_id

    for name in (small.SOURCE, small.TARGET):
        place = f"artifacts/smoke/data/{name}"
        small.run(
            prepare_data, "--dataset", name, "--raw", f"resources/smoke/{name}",
            "--out", f"{place}/manifest.csv", "--images", f"{place}/images.npy",
        )  # fmt: skip
    weights = "artifacts/smoke/weights/backbone.pt"
    small.run(fetch_weights, "--role", "backbone", "--out", weights)
    source = f"artifacts/smoke/data/{small.SOURCE}/manifest.csv"
    for seed in small.SEEDS:
        d_id = f"artifacts/smoke/d_id/{small.SOURCE}/seed{seed}.pt"
        small.run(
            pretrain_id, "--source", small.SOURCE, "--seed", str(seed), "--weights", weights,
            "--source-manifest", source, "--out", d_id, "--history", d_id.replace(".pt", ".csv"),
        )  # fmt: skip
        fresh = f"artifacts/smoke/fresh/seed{seed}.pt"
        small.run(fresh_cnn, "--seed", str(seed), "--weights", weights, "--out", fresh)
        for method, cnn in zip(small.METHODS, (d_id, fresh), strict=True):
            small.run(
                evaluate, "--method", method, *small.PAIR, "--seed", str(seed),
                "--target-manifest", DATA, "--reid", cnn, "--out", small.score(method, seed),
                "--queries", small.score(method, seed, "queries", ".npz"),
            )  # fmt: skip


def _tabulate() -> None:
    """The tables of `TABLES`, by their stages."""
    from stages import bound_table, make_table, tabulate_all, tabulate_cmc, weigh_claims

    six = ["--table", "6", "--printed", *small.PRINTED]
    printed = [f"reported/table{n}.csv" for n in range(1, 8)]
    cells, queries = (
        [f"--{kind}", *(str(Path(small.score(m, 0, kind)).parent) for m in small.METHODS)]
        for kind in ("cells", "queries")
    )
    jobs = (
        (make_table, [*six, *cells]), (bound_table, [*six, *queries]),
        (tabulate_cmc, [*six, *queries]),
        (weigh_claims, ["--claims", "reported/claims.yaml", "--printed", *printed, *queries]),
        (tabulate_all, cells),
    )  # fmt: skip
    for (stage, argv), out in zip(jobs, TABLES, strict=True):
        readable = [] if stage is tabulate_cmc else ["--readable", out.replace(".csv", ".md")]
        small.run(stage, *argv, "--out", out, *readable)


@pytest.fixture
def project(measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the present folder."""
    folder = shutil.copytree(measured, tmp_path / "project", symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv(parameters.ENVIRONMENT, raising=False)
    return folder


@pytest.fixture
def without_jobs(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where a rebuild came so far that it would make tables."""
    made: list[Path] = []
    monkeypatch.setattr(recorded, "_make", lambda folder, params, cores: made.append(folder))
    return made


def kept() -> set[str]:
    place = Path("recorded/smoke")
    return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}


def clone(project: Path, to: Path) -> Path:
    run(project, "git", "add", "recorded")
    run(project, "git", "commit", "-q", "-m", "recorded run")
    run(project, "git", "clone", "-q", str(project), str(to))
    return to


def test_a_clone_makes_the_same_tables_and_trains_nothing(project: Path, tmp_path: Path) -> None:
    _tabulate()
    record()
    copy = clone(project, tmp_path / "clone")
    said = run(copy, "python", "-m", "crgan.cli", "rebuild", "--cores", "2")
    assert "seeds 0, 1" in said
    assert "cells 4 of 4, queries 4 of 4" in said
    rebuilt = copy / ".scratch/recorded/smoke"
    for name in TABLES:
        assert (rebuilt / name).read_bytes() == (project / name).read_bytes(), name
    page = (rebuilt / "results/report.html").read_text()
    assert "pretrain_id" in page
    assert "parameters changed" not in page
    assert not list(rebuilt.rglob("*.pt"))
    assert not (copy / "artifacts").exists()
    assert {path.name for path in (copy / "results").rglob("*")} <= {"metrics.json"}  # Git's own


def test_what_is_kept_is_small(project: Path) -> None:
    found = record()
    names = {small.score(m, s, k, x) for m in small.METHODS for s in small.SEEDS
             for k, x in (("cells", ".json"), ("queries", ".npz"))}  # fmt: skip
    histories = {HISTORY.replace("seed0", f"seed{seed}") for seed in small.SEEDS}
    assert kept() == {"run.json", "records.jsonl", *names, *histories}
    assert found.measured == {"cells": (4, 4), "queries": (4, 4)}
    lines = Path("recorded/smoke/records.jsonl").read_text().splitlines()
    stages = [json.loads(line)["stage"] for line in lines]
    assert sorted(set(stages)) == [
        "evaluate", "fetch_weights", "fresh_cnn", "prepare_data", "pretrain_id"
    ]  # fmt: skip
    assert len(stages) == len(set(lines)) == 4 + 1 + 2 + 2 + 2


def test_lists_of_nearest_images_are_left_out_and_said_to_be(project: Path) -> None:
    record()
    whole, part = load_arrays(QUERIES), load_arrays(f"recorded/smoke/{QUERIES}")
    assert set(whole) - set(part) == {n for n in whole if n.startswith(("top_", "right_"))} != set()
    for name, array in part.items():
        np.testing.assert_array_equal(array, whole[name])
    records = map(json.loads, Path("recorded/smoke/records.jsonl").read_text().splitlines())
    own = next(one["outputs"][QUERIES] for one in records if QUERIES in one["outputs"])
    made = read_json(QUERIES.replace(".npz", ".prov.json"))["outputs"][QUERIES]
    assert own["whole"] == made
    assert own["bytes"] == os.path.getsize(f"recorded/smoke/{QUERIES}") < made["bytes"]


def test_the_same_project_is_recorded_in_the_same_bytes(project: Path) -> None:
    record()
    before = {name: Path("recorded/smoke", name).read_bytes() for name in kept()}
    record()
    assert {name: Path("recorded/smoke", name).read_bytes() for name in kept()} == before
    assert [path.name for path in Path("recorded").iterdir()] == ["smoke"]


@pytest.mark.parametrize(
    ("key", "value", "name", "reason"),
    [
        ("evaluate.lmp_parts", 2, SCORE0, "evaluate.lmp_parts was 'rows', is 2"),
        ("profiles.smoke.pretrain_id.batch", 4, HISTORY, "pretrain_id.batch was 8, is 4"),
    ],
)
def test_one_of_other_parameters_is_not_shown(
    project: Path, without_jobs: list[Path], key: str, value: int, name: str, reason: str
) -> None:
    record()
    run(project, "git", "add", "recorded")
    run(project, "git", "commit", "-q", "-m", "recorded run")
    keeps = run(project, "git", "log", "-1", "--format=%h").strip()
    before = read_json("recorded/smoke/run.json")["commit"]
    run(project, "git", "commit", "-q", "--allow-empty", "-m", "later")
    rebuild()
    set_params(project, {key: value})
    with pytest.raises(UserError) as error:
        rebuild()
    said = str(error.value)
    assert f"{name}: parameters changed: {reason} (and " in said
    assert f"recorded at commit {before}. " in said
    assert f"\ngit worktree add ../smoke-{keeps} {keeps} && make -C ../smoke-{keeps} smok" in said
    assert not Path(".scratch/recorded/smoke").exists()  # nor what an earlier time made of it
    assert len(without_jobs) == 1


def test_a_file_that_was_changed_is_not_shown(project: Path, without_jobs: list[Path]) -> None:
    record()
    path = Path("recorded/smoke", SCORE)
    path.write_text(path.read_text().replace("rank1", "rank2", 1))
    with pytest.raises(UserError, match=r"its content is not the one recorded.*No commit here"):
        rebuild()
    assert not without_jobs


def test_records_are_laid_out_below_what_is_made(project: Path, without_jobs: list[Path]) -> None:
    record()
    path = Path("recorded/smoke/records.jsonl")
    forged = {
        "key": "forged",
        "outputs": {"../out.pt": {}, "crgan/out.pt": {}, f"{project}/out.pt": {}},
    }
    path.write_text(path.read_text() + json.dumps(forged) + "\n")
    rebuild()
    assert not list(project.rglob("out.prov.json"))
    assert not (small.ROOT / "crgan/out.prov.json").exists()
    path.write_text("{")
    with pytest.raises(UserError, match=r"records\.jsonl: damaged"):
        rebuild()


def test_only_what_stands_is_recorded(project: Path, without_jobs: list[Path]) -> None:
    """And a table of it has the cells that are there."""
    Path(SCORE).write_text("{}")
    Path(QUERIES).unlink()
    found = record()
    assert found.measured == {"cells": (3, 4), "queries": (3, 4)}
    assert "left out" in found.message()
    assert list(found.left_out) == [SCORE]
    assert SCORE not in kept()
    assert rebuild().measured == {"cells": (3, 4), "queries": (3, 4)}


def test_a_part_makes_its_cells_of_a_table(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (SCORE, QUERIES, SCORE0, small.score("buc", 0, "queries", ".npz")):
        Path(path).unlink()
    assert record(seeds=[0]).seeds == (0,)
    monkeypatch.setattr(recorded, "TABLES", [6])
    monkeypatch.setattr(recorded, "ranked_tables", lambda: [6])
    rebuild(cores="2")
    with open(".scratch/recorded/smoke/results/table6.csv", newline="") as file:
        there = [row for row in csv.DictReader(file) if row["R1"]]
    assert {row["method"] for row in there} == {"Direct Transfer"}
    assert all(row["note"].endswith("1 seed") for row in there)


def test_a_larger_recorded_run_is_replaced_by_force_alone(project: Path) -> None:
    record()
    Path(SCORE0).unlink()
    with pytest.raises(UserError, match="has 8 results, and only 7 stand here; --force"):
        record()
    with pytest.raises(UserError, match="has 4 results, and only 3 stand here; --force"):
        record(seeds=[0])
    assert len(kept()) == 2 + 8 + 2
    assert record(seeds=[0], force=True).seeds == (0,)
    assert len(kept()) == 2 + 3 + 1


def test_seeds_are_added_one_by_one(project: Path, without_jobs: list[Path]) -> None:
    """As on two machines, neither of which has what the other has made."""
    record()
    whole = {name: Path("recorded/smoke", name).read_bytes() for name in kept()}
    shutil.rmtree("recorded")
    shutil.copytree(project, project.parent / "other", symlinks=True)
    _forget(seed=1)
    assert record(seeds=[0]).seeds == (0,)
    shutil.copytree("recorded", project.parent / "other/recorded")
    os.chdir(project.parent / "other")
    _forget(seed=0)
    assert record(seeds=[1]).seeds == (0, 1)
    assert {name: Path("recorded/smoke", name).read_bytes() for name in kept()} == whole
    assert rebuild().measured == {"cells": (4, 4), "queries": (4, 4)}


def test_of_other_seeds_only_what_stands_stays(project: Path, without_jobs: list[Path]) -> None:
    record()
    path = Path("recorded/smoke", SCORE)
    path.write_text(path.read_text().replace("rank1", "rank2", 1))
    assert record(seeds=[0]).measured == {"cells": (3, 4), "queries": (4, 4)}
    assert SCORE not in kept()
    rebuild()


def test_other_seeds_of_other_data_are_refused(project: Path) -> None:
    record()
    lines = [json.loads(line) for line in _lines()]
    for one in lines:
        if one["stage"] == "prepare_data":
            one["key"] = "another"
    Path("recorded/smoke/records.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(UserError, match=r"seeds 1 descend from another artifacts/smoke/data/"):
        record(seeds=[0])


def _forget(seed: int) -> None:
    for top in ("artifacts", "results"):
        for path in Path(top).rglob(f"seed{seed}.*"):
            path.unlink()


def _lines() -> list[str]:
    return Path("recorded/smoke/records.jsonl").read_text().splitlines()


def test_nothing_measured_and_nothing_recorded_are_said(project: Path) -> None:
    with pytest.raises(UserError, match=r"recorded/smoke: no recorded run \(there are: none\)"):
        rebuild()
    record()
    with pytest.raises(UserError, match=r"recorded/study: no recorded run \(there are: smoke\)"):
        rebuild("study")
    with pytest.raises(UserError, match="results/study: holds no result that stands"):
        record("study")


def test_verify_compares_with_the_whole_file(
    project: Path, without_jobs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone that makes a cell again has made the file of which a part was kept."""
    record()
    folder = rebuild().place
    shutil.copytree("artifacts", folder / "artifacts", dirs_exist_ok=True)
    monkeypatch.chdir(folder)
    found = verify([small.score("direct_transfer", 0)])
    assert [check.output.split("/")[2] for check in found if check.equal] == ["cells", "queries"]


def test_results_of_ones_own_are_left_alone(project: Path, without_jobs: list[Path]) -> None:
    Path("results/table6.csv").write_text("my own")
    before = {p: p.read_bytes() for top in ("results", "artifacts") for p in Path(top).rglob("*.*")
              if p.is_file()}  # fmt: skip
    record()
    assert isinstance(rebuild(), Recorded)
    assert {path: path.read_bytes() for path in before} == before
