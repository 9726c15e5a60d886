"""Intervals, comparison, trace and verification on a small project measured by the real stages."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from crgan.cli import main
from crgan.common.errors import UserError
from crgan.common.io import load_arrays, read_json, write_json
from crgan.report.trace import find_cell, lineage, seeds_of, walk
from crgan.tables.paired import mcnemar
from crgan.tables.queries import Queries, rates
from tests import evidence_project as project
from tests.evidence_project import PAIR, TABLE, score

CELL = [TABLE, "--cell", "Direct Transfer", *PAIR]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evidence")
    before = Path.cwd()
    os.chdir(folder)
    try:
        project.make()
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def here(measured: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The measured project as working folder; to look at only."""
    monkeypatch.chdir(measured)
    return measured


@pytest.fixture
def copied(measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to change."""
    shutil.copytree(measured, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def run(*argv: str) -> int:
    with pytest.raises(SystemExit) as status:
        main(list(argv))
    return int(status.value.code or 0)


@pytest.mark.usefixtures("here")
def test_each_querys_result_averages_to_the_score() -> None:
    for method in project.METHODS:
        arrays = load_arrays(score(method, 0, "queries", ".npz"))
        for pooling, block in read_json(score(method, 0))["pooling"].items():
            for metric, name in (("R1", "rank1"), ("R5", "rank5"), ("mAP", "mAP")):
                mean = np.nanmean(rates(arrays, pooling, metric))
                assert mean == pytest.approx(block[name], abs=1e-4), (method, pooling, metric)


@pytest.mark.usefixtures("copied")
def test_intervals_stand_beside_the_tables_means() -> None:
    from stages import bound_table

    folders = [f"results/smoke/queries/{m}/market1501-dukemtmc" for m in project.METHODS]
    out, readable = "results/table6.intervals.csv", "results/table6.intervals.md"
    project.run(
        bound_table, "--table", "6", "--printed", *project.PRINTED, "--queries", *folders,
        "--out", out, "--readable", readable,
    )  # fmt: skip
    means = list(csv.DictReader(Path(TABLE).read_text().splitlines()))
    bounds = list(csv.DictReader(Path(out).read_text().splitlines()))
    assert [r["method"] for r in bounds] == [r["method"] for r in means]
    both = 0
    for mean, bound in zip(means, bounds, strict=True):
        for metric in ("R1", "R5", "R10", "mAP"):
            assert bound[metric] == mean[metric]
            if mean[metric]:
                both += 1
                assert float(bound[f"{metric}_low"]) <= float(mean[metric])
                assert float(mean[metric]) <= float(bound[f"{metric}_high"])
    assert both == 12  # two methods and one of them re-ranked, four metrics
    buc = next(r for r in bounds if r["method"] == "BUC" and r["target"] == "dukemtmc")
    assert (buc["seeds"], buc["queries"]) == ("2", "24")
    assert "chosen with labels in sight" in buc["note"]
    assert "not comparable" not in Path(readable).read_text()
    assert "no number here means anything" in Path(readable).read_text()


@pytest.mark.usefixtures("copied")
def test_cmc_curves_pass_through_the_tables_rates() -> None:
    from stages import tabulate_cmc

    folders = [f"results/smoke/queries/{m}/market1501-dukemtmc" for m in project.METHODS]
    out = "results/table6.cmc.csv"
    argv = ["--table", "6", "--printed", *project.PRINTED, "--queries", *folders, "--out", out]
    project.run(tabulate_cmc, *argv)
    points = list(csv.DictReader(Path(out).read_text().splitlines()))
    curves = {name: [p for p in points if p["method"] == name] for name in _named(points)}
    rows = [r for r in csv.DictReader(Path(TABLE).read_text().splitlines()) if r["R1"]]
    assert list(curves) == [r["method"] for r in rows]
    for row in rows:
        curve = [float(p["percent"]) for p in curves[row["method"]]]
        assert [p["rank"] for p in curves[row["method"]]] == [str(n) for n in range(1, 31)]
        assert curve == sorted(curve)
        for metric, rank in (("R1", 1), ("R5", 5), ("R10", 10)):
            assert curve[rank - 1] == pytest.approx(float(row[metric]), abs=0.051)
    assert {p["seeds"] for p in points} == {"2"}


@pytest.mark.usefixtures("copied")
def test_a_table_without_a_cell_in_the_matrix_has_no_curve_and_no_interval() -> None:
    from stages import bound_table, tabulate_cmc

    printed = ["--printed", "reported/table7.csv", "reported/table2.csv"]
    out = "results/table7.cmc.csv"
    project.run(tabulate_cmc, "--table", "7", *printed, "--out", out)
    assert Path(out).read_text() == "profile,method,source,target,seeds,rank,percent\n"
    both = ["--out", "results/table7.intervals.csv", "--readable", "results/table7.intervals.md"]
    project.run(bound_table, "--table", "7", *printed, *both)
    rows = list(csv.DictReader(Path(both[1]).read_text().splitlines()))
    assert rows
    assert not any(row["R1"] for row in rows)


def _named(points: list[dict[str, str]]) -> dict[str, None]:
    return dict.fromkeys(point["method"] for point in points)


@pytest.mark.usefixtures("copied")
def test_the_table_marks_what_was_chosen_with_labels_in_sight() -> None:
    rows = list(csv.DictReader(Path(TABLE).read_text().splitlines()))
    notes = {r["method"]: r["note"] for r in rows if r["R1"]}
    assert "chosen with labels in sight: initial weights of BUC's head" in notes["BUC"]
    assert "labels in sight" not in notes["Direct Transfer"]


@pytest.mark.usefixtures("copied")
def test_the_claims_stage_weighs_what_is_there_and_refuses_what_is_stale(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from stages import weigh_claims

    folders = [f"results/smoke/queries/{m}/market1501-dukemtmc" for m in project.METHODS]
    argv = ["--claims", "reported/claims.yaml", "--printed",
            *(f"reported/table{n}.csv" for n in range(1, 8)), "--queries", *folders,
            "--out", "results/claims.csv", "--readable", "results/claims.md"]  # fmt: skip
    project.run(weigh_claims, *argv)
    rows = list(csv.DictReader(Path("results/claims.csv").read_text().splitlines()))
    assert {r["verdict"] for r in rows} == {"not measured", "not measurable"}
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["evaluate"]["lmp_parts"] = 1
    Path("params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(SystemExit):
        project.run(weigh_claims, *argv)
    assert "not current: parameters changed: evaluate.lmp_parts" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_two_methods_on_the_same_queries(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["compare", "--first", "direct_transfer", "--second", "BUC", *PAIR]
    assert run(*argv, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    firsts = [load_arrays(score(m, 1, "queries", ".npz"))["first_global"] for m in project.METHODS]
    right = [first == 1 for first in firsts]
    one = next(d for d in found["discordance"] if d["seed"] == 1)
    assert one["first_only"] == int(np.sum(right[0] & ~right[1]))
    assert one["second_only"] == int(np.sum(right[1] & ~right[0]))
    assert one["both"] + one["first_only"] + one["second_only"] + one["neither"] == 24
    r1 = found["rates"]["R1"]
    assert r1["difference"]["value"] == pytest.approx(r1["first"] - r1["second"])
    table = {
        r["method"]: r for r in csv.DictReader(Path(TABLE).read_text().splitlines()) if r["R1"]
    }
    assert f"{r1['first']:.1f}" == table["Direct Transfer"]["R1"]
    assert run(*argv) == 0
    text = capsys.readouterr().out
    assert f"direct_transfer alone {one['first_only']}, BUC alone {one['second_only']}" in text
    assert "interval over 24 queries and 2 seeds" in text


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(3, 3) == 1.0
    assert mcnemar(5, 0) == pytest.approx(2 / 2**5)
    assert mcnemar(1, 6) == pytest.approx(2 * (1 + 7) / 2**7)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("crgun", "buc", "'crgun': no method; use one of adabn, bow, buc"),
        ("crgan", "buc", "crgan/market1501-dukemtmc: no per-query results"),
        ("bow+LMP", "buc", "no method"),
    ],
)
def test_a_method_that_is_none_is_named(
    first: str, second: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("compare", "--first", first, "--second", second, *PAIR) == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("copied")
def test_files_of_another_profile_or_without_a_cell_are_refused() -> None:
    path = score("buc", 0, "queries", ".npz")
    with pytest.raises(UserError, match="of profile 'smoke', not 'demo'"):
        Queries([path], profile="demo")
    write_json(Path(path).with_suffix(".prov.json"), {"cell": {"profile": "smoke"}})
    with pytest.raises(UserError, match="not the record of a scored cell"):
        Queries([path], profile="smoke")


@pytest.mark.usefixtures("here")
def test_a_trace_leads_from_the_cell_to_raw_material(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("trace", *CELL, "--metric", "R1", "--seed", "1") == 0
    text = capsys.readouterr().out
    value = read_json(score("direct_transfer", 1))["pooling"]["global"]["rank1"]
    for part in (score("direct_transfer", 1), f"R1 {value:.2f}", "evaluate.lmp_parts=rows",
                 "artifacts/smoke/fresh/seed1.pt fresh_cnn", "backbone.pt fetch_weights",
                 "data/manifest.csv raw material", "x86_64", "MB"):  # fmt: skip
        assert part in text.replace("\n", " ") or part in text, part
    assert "seed0.json" not in text
    assert run("trace", *CELL, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["scores"]) == {score("direct_transfer", s) for s in project.SEEDS}
    tree = found["scores"][score("direct_transfer", 0)]
    assert tree["record"]["run"]["wall_seconds"] > 0
    assert tree["record"]["params"]["evaluate"]["lmp_parts"] == "rows"
    below = {node["output"] for node in tree["inputs"]}
    assert below == {"artifacts/smoke/fresh/seed0.pt", "data/images.npy", "data/manifest.csv"}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--cell", "Direct Transfr", *PAIR], "near names: Direct Transfer"),
        (["--cell", "cr-gan+lmp", *PAIR], "near names: CR-GAN+LMP"),
        (["--cell", "Direct Transfer"], "add --source and --target: dukemtmc to market1501"),
        (["--cell", "BUC", "--source", "cuhk03"], "BUC has dukemtmc to market1501; market1501 to"),
        (["--cell", "CR-GAN+LMP", *PAIR], "was not measured, so nothing stands behind it"),
        (["--cell", "BUC", *PAIR, "--seed", "7"], "no seed 7; its seeds are 0, 1"),
        (["--cell", "BUC", *PAIR, "--metric", "R2"], "no metric 'R2'; it has R1, R5, R10, mAP"),
    ],
)
def test_an_unknown_cell_is_answered_with_what_there_is(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("trace", TABLE, *argv) == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_a_file_that_is_no_table_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("trace", "results/table7.csv", "--cell", "BUC") == 2
    assert "results/table7.csv: no such file; make it first" in capsys.readouterr().err
    assert run("trace", "data/manifest.csv", "--cell", "BUC") == 2
    assert "has no rows of methods" in capsys.readouterr().err


@pytest.mark.usefixtures("copied")
def test_what_changed_since_is_said() -> None:
    cnn = Path("artifacts/smoke/fresh/seed0.pt")
    states = {n.output: n.state for n in walk(lineage(score("direct_transfer", 0)))}
    assert set(states.values()) == {""}
    cnn.write_bytes(b"short")
    states = {n.output: n.state for n in walk(lineage(score("direct_transfer", 0)))}
    assert states[str(cnn)] == "changed since: its length is not the one recorded"
    cnn.unlink()
    states = {n.output: n.state for n in walk(lineage(score("direct_transfer", 0)))}
    assert states[str(cnn)] == "deleted since"


@pytest.mark.usefixtures("here")
def test_inputs_come_before_what_is_made_of_them_and_each_job_once() -> None:
    nodes = [n.output for n in walk(lineage(TABLE)) if n.record]
    assert len(nodes) == len(set(nodes)) == 1 + 4 + 4 + 1  # table, scores, networks, weights
    assert nodes.index("artifacts/smoke/weights/backbone.pt") == 0
    assert nodes[-1] == TABLE
    assert len(seeds_of(find_cell(TABLE, "BUC", "market1501", "dukemtmc"), None)) == 2
