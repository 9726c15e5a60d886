"""Tables: exact text, what is left empty, what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from crgan.common.errors import UserError
from crgan.common.io import sha256_file, write_json
from crgan.pipeline import params as parameters
from crgan.pipeline.records import Auditor, key_of, record_path
from crgan.tables.printed import TABLES, Cell, Row, cell_of, printed_inputs, table_rows
from crgan.tables.readable import markdown
from crgan.tables.scores import read_scores
from crgan.tables.tables import build, rounded, write_csv

ROOT = Path(__file__).parents[2]
REPORTED = ROOT / "reported"
METHODS = {
    "crgan": {"label": "CR-GAN", "uses": ["source labels", "target cameras"]},
    "wo_dual_cond": {"label": "w/o dual cond", "uses": []},
    "direct_transfer": {"label": "Direct Transfer", "uses": ["source labels"]},
}
BEYOND = parameters.load(ROOT / "params.yaml")["beyond"]
MARKET, DUKE = "market1501", "dukemtmc"


def current(path: str) -> None:
    """An auditor that finds every file current."""


def rates(rank1: float, mean_ap: float) -> dict[str, float]:
    return {"rank1": rank1, "rank5": rank1 + 1, "rank10": rank1 + 2, "mAP": mean_ap}


def write_score(folder: Path, method: str = "crgan", seed: int = 0, **changes: Any) -> Path:
    """A re-id score from market1501 to dukemtmc, with its record."""
    score = {
        "method": method, "source": MARKET, "target": DUKE, "seed": seed, "profile": "demo",
        "backbone": "small", "notes": ["images by hand"],
        "pooling": {"global": rates(60.0 + seed, 30.0), "lmp": rates(62.26, 33.0)},
        **changes,
    }  # fmt: skip
    return _with_record(folder / f"{method}-{score['source']}-seed{seed}.json", score, "evaluate")


def write_visual(folder: Path, method: str = "crgan", seed: int = 0, **changes: Any) -> Path:
    score = {
        "method": method, "source": MARKET, "target": DUKE, "seed": seed, "profile": "demo",
        "lpips": 0.25, "fid": 0.06, "reference": {"lpips": 0.5, "fid": 0.4}, "notes": [],
        **changes,
    }  # fmt: skip
    path = folder / f"{method}-{score['source']}-seed{seed}-visual.json"
    return _with_record(path, score, "measure_images")


def _with_record(path: Path, score: dict[str, Any], stage: str) -> Path:
    write_json(path, score)
    size = {"sha256": sha256_file(path), "bytes": path.stat().st_size}
    record = {"stage": stage, "cell": {"profile": "demo"}, "params": {"of": "yesterday"},
              "code_sha256": "", "inputs": {}, "outputs": {str(path): size}}  # fmt: skip
    write_json(record_path(path), {**record, "key": key_of(record)})
    return path


def make(
    number: int, paths: list[Path], seeds: tuple[int, ...] = (0,), folder: Path = REPORTED
) -> Any:
    scores = read_scores(paths, profile="demo", seeds=seeds, why_stale=current)
    printed = table_rows(number, folder, BEYOND)
    return build(printed, scores, profile="demo", methods=METHODS, seeds=seeds)


def small_printed(folder: Path) -> Path:
    (folder / "table5.csv").write_text(
        "method,source,target,R1,R10,mAP,note\n"
        'PTGAN,market1501,dukemtmc,27.4,66.1,,"misprint, R10"\n'
        "CR-GAN,market1501,dukemtmc,52.2,,30.0,\n"
        "CR-GAN+LMP,market1501,dukemtmc,56.0,,33.3,\n"
    )
    (folder / "table2.csv").write_text(
        "method,source,target,R1,mAP\nDirect Transfer,market1501,dukemtmc,36.9,20.5\n"
    )
    return folder


def test_exact_text_with_two_seeds_and_cells_that_were_not_measured(tmp_path: Path) -> None:
    paths = [write_score(tmp_path, seed=1), write_score(tmp_path, seed=0)]
    table = make(5, paths, (0, 1), small_printed(tmp_path))
    write_csv(tmp_path / "out.csv", table)
    # Means of 60 and 61, 62 and 63; the sample deviation of two values one apart is 0.707.
    measured = "backbone small; images by hand; 2 seeds"
    assert (tmp_path / "out.csv").read_bytes().decode() == (
        "profile,method,source,target,R1,R1_std,R1_paper,R10,R10_std,R10_paper,"
        "mAP,mAP_std,mAP_paper,uses,note\n"
        "demo,Direct Transfer,market1501,dukemtmc,,,36.9,,,,,,20.5,source labels,"
        "not printed in this table; paper's value from Table 2\n"
        'demo,PTGAN,market1501,dukemtmc,,,27.4,,,66.1,,,,,"misprint, R10"\n'
        "demo,CR-GAN,market1501,dukemtmc,60.5,0.7,52.2,62.5,0.7,,30.0,0.0,30.0,"
        f'"source labels, target cameras",{measured}\n'
        "demo,CR-GAN+LMP,market1501,dukemtmc,62.3,0.0,56.0,64.3,0.0,,33.0,0.0,33.3,"
        f'"source labels, target cameras",{measured}\n'
        'demo,"CR-GAN, stored set",market1501,dukemtmc,,,,,,,,,,,not in the paper\n'
        'demo,"CR-GAN, stored set+LMP",market1501,dukemtmc,,,,,,,,,,,not in the paper\n'
    )


def test_masks_are_named_wherever_they_entered(tmp_path: Path) -> None:
    score = write_score(tmp_path, notes=[])
    gan, masks = tmp_path / "gan.pt", tmp_path / "masks.h5"
    record = json.loads(record_path(score).read_text())
    write_json(record_path(score), {**record, "inputs": {str(gan): "", "raw.csv": ""}})
    write_json(record_path(gan), {"stage": "train_gan", "inputs": {str(masks): "", str(score): ""}})
    params = {"masks": {"backend": "grabcut"}}
    write_json(record_path(masks), {"stage": "extract_masks", "params": params, "inputs": {}})
    plain = write_score(tmp_path, "direct_transfer", notes=[])
    lines = {line.row.method: line.notes for line in make(2, [score, plain]).lines if line.measured}
    assert lines["CR-GAN"] == ("backbone small", "masks by grabcut", "1 seed")
    assert lines["Direct Transfer"] == ("backbone small", "1 seed")


def test_readable_text_names_the_profile_and_numbers_the_notes(tmp_path: Path) -> None:
    table = make(5, [write_score(tmp_path)], (0, 1), small_printed(tmp_path))
    text = markdown(table)
    assert text.startswith(
        "# Table 5: GAN-based methods\n\n"
        "**Profile `demo`: measured on the generated demo benchmark; "
        "not comparable with the paper's numbers.**\n"
    )
    assert "\n## Market-1501 → DukeMTMC-reID\n" in text
    assert (
        "\n| Direct Transfer | - (paper 36.9) | - | - (paper 20.5) | source labels | 1 |\n" in text
    )
    assert "\n| PTGAN | - (paper 27.4) | - (paper 66.1) | - |  | 2 |\n" in text
    uses = "source labels, target cameras"
    assert f"| 60.0 (paper 52.2) | 62.0 | 30.0 (paper 30.0) | {uses} | 3, 4, 5 |\n" in text
    assert text.endswith(
        "3. backbone small\n4. images by hand\n5. 1 of 2 seeds\n6. not in the paper\n"
    )


def test_spread_stands_beside_the_mean(tmp_path: Path) -> None:
    paths = [write_score(tmp_path, seed=seed) for seed in (0, 1)]
    text = markdown(make(5, paths, (0, 1), small_printed(tmp_path)))
    assert "| CR-GAN | 60.5 ± 0.7 (paper 52.2) |" in text


def test_visual_table_and_the_row_of_the_data_sets(tmp_path: Path) -> None:
    paths = [
        write_visual(tmp_path),
        write_visual(tmp_path, "wo_dual_cond", lpips=0.0004, fid=-2e-4),
    ]
    write_csv(tmp_path / "out.csv", make(1, paths))
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert (
        lines[0]
        == "profile,method,source,target,LPIPS,LPIPS_std,LPIPS_paper,FID,FID_std,FID_paper,note"
    )
    assert lines[1] == "demo,Source-Target data,market1501,dukemtmc,0.500,,0.458,0.400,,0.330,"
    assert lines[2] == "demo,Source-Target data,dukemtmc,market1501,,,0.458,,,0.330,"
    assert (
        lines[3] == "demo,w/o dual condition,market1501,dukemtmc,0.000,,0.196,0.000,,0.065,1 seed"
    )
    assert lines[5] == "demo,CR-GAN,market1501,dukemtmc,0.250,,0.281,0.060,,0.058,1 seed"


@pytest.mark.parametrize("number", TABLES)
def test_every_printed_row_stands_once_in_printed_order(number: int, tmp_path: Path) -> None:
    table = make(number, [])
    write_csv(tmp_path / "out.csv", table)
    with open(REPORTED / f"table{number}.csv", newline="") as file:
        reader = csv.DictReader(file)
        printed, fields = list(reader), reader.fieldnames or []
    with open(tmp_path / "out.csv", newline="") as file:
        built = list(csv.DictReader(file))
    added = 2 if number >= 5 else 0
    assert [row["method"] for row in built[:added]] == ["Direct Transfer"] * added
    beyond = 2 * len(BEYOND.get(str(number), ()))
    assert len(built) == len(printed) + added + beyond
    assert {row["note"] for row in built[len(built) - beyond :]} <= {"not in the paper"}
    built = built[: len(built) - beyond]
    metrics = [name for name in fields if name in ("R1", "R5", "R10", "mAP", "LPIPS", "FID")]
    for old, new in zip(printed, built[added:], strict=True):
        for name in ("type", "method", "source", "target"):
            assert new.get(name) == old.get(name)
        for metric in metrics:
            assert new[f"{metric}_paper"] == old[metric]
            assert new[metric] == new[f"{metric}_std"] == ""
        assert new["profile"] == "demo"
        assert new["note"] == old.get("note", "")


def test_added_baseline_has_the_papers_value_only_where_it_prints_one() -> None:
    six, seven = table_rows(6, REPORTED), table_rows(7, REPORTED)
    first, last = six.rows[0], seven.rows[0]
    assert (first.type, first.method, first.source) == ("Reference", "Direct Transfer", MARKET)
    assert first.paper == {"R1": 36.9, "R5": None, "R10": None, "mAP": 20.5}
    assert "not printed in this table" in first.note
    assert (last.source, last.note) == ("cuhk03", "not printed")
    assert set(last.paper.values()) == {None}


def test_names_of_the_tables_mean_methods_of_the_parameters() -> None:
    methods = parameters.load(ROOT / "params.yaml")["methods"]

    def cell(name: str) -> Cell | None:
        return cell_of(Row(name, MARKET, DUKE, {}), methods)

    assert cell("CR-GAN+LMP") == Cell("crgan", "lmp")
    assert cell("w/o dual condition") == cell("w/o dual cond") == Cell("wo_dual_cond", "global")
    assert cell("w/o dual cond+LMP") == Cell("wo_dual_cond", "lmp")
    assert cell("Source-Target data") == Cell(None, "global")
    assert cell("CR-GAN+re-ranking") == Cell("crgan", "global_rr")
    assert cell("CR-GAN+LMP+re-ranking") == Cell("crgan", "lmp_rr")
    assert cell("w/o dual condition+re-ranking") == Cell("wo_dual_cond", "global_rr")
    assert cell("CR-GAN+TAUDL+LMP") == Cell("crgan_taudl", "lmp")
    assert cell("CamStyle+LMP") is None
    shown = {row.method for number in (1, 2, 3) for row in table_rows(number, REPORTED).rows}
    assert all(cell(name) for name in shown)


def test_two_methods_of_one_name_are_refused() -> None:
    methods = {"a": {"label": "CR-GAN"}, "b": {"label": "CR-GAN"}}
    with pytest.raises(UserError, match=r"methods\.a and methods\.b both have the label 'CR-GAN'"):
        cell_of(Row("CR-GAN", MARKET, DUKE, {}), methods)


def test_other_forms_of_printed_methods_come_before_methods_that_are_not_printed() -> None:
    rows = [row.method for row in table_rows(6, REPORTED, BEYOND).rows[-14:]]
    assert list(dict.fromkeys(rows)) == [
        "Direct Transfer+re-ranking", "CR-GAN+LMP+re-ranking", "CR-GAN+TAUDL+re-ranking",
        "Cluster-Contrast", "CR-GAN+Cluster-Contrast", "AdaBN", "CR-GAN+AdaBN",
    ]  # fmt: skip


def test_printed_tables_a_table_reads() -> None:
    names = [[path.name for path in printed_inputs(number)] for number in (2, 6)]
    assert names == [["table2.csv"], ["table6.csv", "table2.csv"]]
    with pytest.raises(UserError, match="table 8"):
        table_rows(8, REPORTED)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"profile": "paper"}, "measured with profile 'paper', this is a table of 'demo'"),
        ({"seed": 3}, r"seed 3 is not in matrix.seeds \(0\)"),
        ({"pooling": {"global": rates(float("nan"), 1.0)}}, "rank1 is nan"),
        ({"pooling": {"global": rates(101.0, 1.0)}}, "rank1 is 101.0"),
        ({"pooling": {"global": {"rank1": 1.0}}}, "not a score file .*rank5"),
        ({"pooling": {"lmp": rates(1.0, 1.0)}}, "holds no R1 with global pooling"),
        ({"method": "unknown"}, "unknown market1501 to dukemtmc fits no row of table 2"),
        ({"source": "cuhk03"}, "crgan cuhk03 to dukemtmc fits no row of table 2"),
    ],
)
def test_scores_that_do_not_stand_are_refused(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    path = write_score(tmp_path, **changes)
    with pytest.raises(UserError, match=reason) as error:
        make(2, [path])
    assert str(path) in str(error.value)


def test_stale_scores_are_refused_with_the_judges_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = parameters.load(ROOT / "params.yaml")
    monkeypatch.chdir(tmp_path)
    path = write_score(Path("results"))

    def read() -> None:
        read_scores([path], profile="demo", seeds=[0], why_stale=Auditor(whole).why_stale)

    with pytest.raises(UserError, match=r"not current: parameters changed: .*evaluate"):
        read()
    path.write_text(path.read_text().replace("60.0", "99.9"))
    with pytest.raises(UserError, match=r"seed0.json: not current: its content is not the one"):
        read()
    record_path(path).unlink()
    with pytest.raises(UserError, match="no provenance record"):
        read()


def test_one_cell_measured_twice_is_refused(tmp_path: Path) -> None:
    paths = [write_score(tmp_path / "a"), write_score(tmp_path / "b")]
    with pytest.raises(UserError, match="the same cell as"):
        make(2, paths)


def test_two_values_of_the_same_data_are_refused(tmp_path: Path) -> None:
    other = write_visual(tmp_path, "wo_dual_cond", reference={"lpips": 0.5, "fid": 0.41})
    with pytest.raises(UserError, match="data sets themselves differ"):
        make(1, [write_visual(tmp_path), other])


def test_no_seed_enters_the_row_of_the_data_sets(tmp_path: Path) -> None:
    paths = [write_visual(tmp_path, seed=seed, lpips=0.2 + seed / 10) for seed in (0, 1)]
    lines = make(1, paths, (0, 1)).lines
    assert (lines[0].measured["LPIPS"].mean, lines[0].measured["LPIPS"].std) == (0.5, None)
    assert lines[0].notes == ()
    assert lines[4].measured["LPIPS"].mean == pytest.approx(0.25)
    assert lines[4].notes == ("2 seeds",)


def test_random_weights_of_a_metric_are_said_of_the_data_sets_too(tmp_path: Path) -> None:
    weights = {"lpips": {"origin": "random"}, "inception": {"origin": "fid_inception"}}
    note = "lpips with random weights: no published quantity"
    notes = [note, "ResNet50 started from random weights"]
    path = write_visual(tmp_path, settings={"weights": weights}, notes=notes)
    lines = make(1, [path]).lines
    assert lines[0].notes == (note,)
    assert lines[4].notes == (*notes, "1 seed")


def test_a_visual_score_does_not_fit_a_table_of_rates(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no R1"):
        make(2, [write_visual(tmp_path)])


def test_same_bytes_in_whatever_order_scores_are_given(tmp_path: Path) -> None:
    paths = [write_score(tmp_path, m, s) for m in ("crgan", "direct_transfer") for s in (0, 1)]
    for name, order in (("a", paths), ("b", paths[::-1])):
        write_csv(tmp_path / f"{name}.csv", make(2, order, (0, 1)))
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_rounding_as_printed() -> None:
    assert [rounded("R1", v) for v in (61.25001, 100.0, None)] == ["61.3", "100.0", ""]
    assert [rounded("FID", v) for v in (0.0584, -0.0004)] == ["0.058", "0.000"]


def test_stage_builds_a_table_and_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from crgan.pipeline.stage import run_stage
    from stages import make_table

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(parameters.ENVIRONMENT, str(ROOT / "params.yaml"))
    Path("reported").mkdir()
    for number in (2, 6):
        name = f"reported/table{number}.csv"
        Path(name).write_bytes((ROOT / name).read_bytes())
    out = ["--out", "results/table6.csv", "--readable", "results/table6.md"]
    argv = ["--table", "6", "--printed", "reported/table6.csv", "reported/table2.csv", *out]
    run_stage(make_table.parser, make_table.body, argv)
    assert len(Path("results/table6.csv").read_text().splitlines()) == 1 + 32 + 2 * len(BEYOND["6"])
    assert Path("results/table6.md").read_text().startswith("# Table 6")
    record = json.loads(Path("results/table6.prov.json").read_text())
    assert set(record["inputs"]) == {"reported/table2.csv", "reported/table6.csv"}

    stale = write_score(Path("scores"))
    before = Path("results/table6.csv").read_bytes()
    with pytest.raises(SystemExit):
        run_stage(make_table.parser, make_table.body, [*argv, "--cells", str(stale)])
    assert "not current: parameters changed" in capsys.readouterr().err
    assert Path("results/table6.csv").read_bytes() == before
    with pytest.raises(SystemExit):
        run_stage(make_table.parser, make_table.body, [*argv, "--visual", str(stale)])
    assert "takes its scores by --cells" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run_stage(make_table.parser, make_table.body, [*argv[:4], *out])
    assert "is built from reported/table6.csv reported/table2.csv" in capsys.readouterr().err
