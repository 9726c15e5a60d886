"""The paper's claims as data, and their weighing on cells worked out by hand."""

from __future__ import annotations

import copy
import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from crgan.common.errors import UserError
from crgan.common.io import save_arrays, write_json
from crgan.metrics.bootstrap import Settings
from crgan.pipeline.params import load
from crgan.tables.claims import (
    Claim,
    Place,
    cell_behind,
    cells_needed,
    comparisons,
    load_claims,
)
from crgan.tables.claims_page import COLUMNS, markdown, write_csv
from crgan.tables.printed import DATA_ROW, table_rows
from crgan.tables.queries import Queries
from crgan.tables.weigh import Images, tally, weigh

ROOT = Path(__file__).parents[2]
PRINTED = ROOT / "reported"
FILE = PRINTED / "claims.yaml"
SETTINGS = Settings(0.95, 1000, 0)
PAIR = ("market1501", "dukemtmc")
CLAIM = Claim("dual", "CR-GAN is better", "Table 2", 2, ("CR-GAN",), ("Direct Transfer",), ("R1",),
              (PAIR,))  # fmt: skip


@pytest.fixture(scope="module")
def params() -> dict[str, Any]:
    return load(ROOT / "params.yaml")


def test_every_claim_is_about_printed_rows_and_cells_of_the_matrix(params: dict[str, Any]) -> None:
    claims = load_claims(FILE)
    for claim in claims.measured:
        found = comparisons([claim], PRINTED)
        assert found, claim.id
        for c in found:
            for place in (c.better, c.worse):
                assert place.method == DATA_ROW or cell_behind(c, place, params), (c.name, place)
    assert all(entry.why for entry in claims.unmeasured)


def test_the_printed_numbers_bear_out_what_the_paper_says_but_in_two_places() -> None:
    found = comparisons(load_claims(FILE).measured, PRINTED)
    against = [c.name for c in found if c.paper is not None and c.sign * c.paper <= 0]
    assert against == [
        "TAUDL > BUC R1 dukemtmc-market1501", "SPGAN+TAUDL > TAUDL mAP dukemtmc-market1501",
    ]  # fmt: skip


def test_the_best_printed_value_of_every_column_is_claimed_best() -> None:
    """Tables 3, 5, 6 and 7: whoever leads a printed column beats each other row in some claim."""
    claimed = {
        (c.claim.table, c.better, c.worse.method, c.metric)
        for c in comparisons(load_claims(FILE).measured, PRINTED)
    }
    for number in (3, 5, 6, 7):
        table = table_rows(number, PRINTED)
        for direction in dict.fromkeys((r.source, r.target) for r in table.rows):
            rows = [r for r in table.rows if (r.source, r.target) == direction]
            rows = [r for r in rows if r.method != "Direct Transfer"]  # added, not printed there
            for metric in table.metrics:
                printed = [r for r in rows if r.paper[metric] is not None]
                if len(printed) < 2 or (number, metric) == (
                    5,
                    "R10",
                ):  # the page has no such column
                    continue
                best = max(printed, key=lambda r: r.paper[metric] or 0)
                for row in printed:
                    beaten = (number, Place(best.method, *direction), row.method, metric)
                    grouped = (
                        number == 5 and "+LMP" in row.method
                    )  # beaten through the group's best
                    assert row is best or grouped or beaten in claimed, beaten


def test_the_numbers_of_a_printed_difference_are_looked_up() -> None:
    [found] = comparisons([CLAIM], PRINTED)
    assert found.paper == pytest.approx(52.2 - 36.9)


def test_what_the_paper_does_not_print_it_does_not_claim() -> None:
    claims = {claim.id: claim for claim in load_claims(FILE).measured}
    rivals = comparisons([claims["best-image-cuhk03"]], PRINTED)
    assert {c.worse.method for c in rivals if c.worse.target == "dukemtmc"} == {"PTGAN"}
    words = comparisons([claims["larger-gap"]], PRINTED)  # in words alone: kept without numbers
    assert [(c.metric, c.paper) for c in words] == [("R1", None), ("mAP", None)]


def test_the_cells_behind_the_claims(params: dict[str, Any]) -> None:
    needed = cells_needed(load_claims(FILE).measured, params, PRINTED)
    assert {c["method"] for c in needed["visual"]} == {"crgan", "wo_dual_cond", "spgan"}
    assert len(needed["judged"]) == len(params["matrix"]["visual"])
    assert "crgan_set" not in {c["method"] for c in needed["queries"]}  # beyond the paper


def broken(tmp_path: Path, **change: Any) -> Path:
    document = yaml.safe_load(FILE.read_text())
    document["claims"][0].update(change)
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"better": "CR-GUN"}, "dual-diverse: Table 1 has no row 'CR-GUN'"),
        ({"metrics": ["R1"]}, "dual-diverse: Table 1 has no metric R1"),
        ({"table": 8}, "dual-diverse: table 8; use 1 to 7 or renderings"),
        ({"directions": ["cuhk03-dukemtmc"]}, "no row 'CR-GAN' cuhk03 to dukemtmc"),
        ({"directions": ["market"]}, "direction 'market'; write source-target"),
        ({"verdict": "holds"}, "claim 'dual-diverse': missing or unknown keys verdict"),
        ({"id": "dual-fidelity"}, "two claims with the id 'dual-fidelity'"),
        ({"better": "w/o dual condition", "worse": "CR-GAN"}, "the printed numbers contradict"),
        ({"against_print": ["A > B R1 x-y"]}, "do not contradict 'A > B R1 x-y'"),
        ({"table": "renderings"}, "LPIPS is no metric of the table of renderings"),
    ],
)
def test_a_broken_claim_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        comparisons(load_claims(broken(tmp_path, **change)).measured, PRINTED)


def test_a_cell_that_is_not_in_the_matrix_is_behind_nothing(params: dict[str, Any]) -> None:
    poorer = copy.deepcopy(params)
    poorer["matrix"]["gan"] = poorer["matrix"]["gan"][1:]
    (comparison,) = comparisons([CLAIM], PRINTED)
    assert cell_behind(comparison, comparison.better, params)
    assert cell_behind(comparison, comparison.better, poorer) is None


def write_queries(folder: Path, method: str, seed: int, first: list[int]) -> str:
    """Per-query results of a cell: ranks of the first true match; precision 1 over the rank."""
    ranks = np.array(first, dtype=np.int32)
    arrays = {"query_rows": np.arange(len(first), dtype=np.int32)}
    for pooling in ("global", "lmp"):
        arrays[f"first_{pooling}"] = ranks
        arrays[f"ap_{pooling}"] = np.where(ranks > 0, 1 / np.maximum(ranks, 1), np.nan).astype("f4")
    path = folder / method / "-".join(PAIR) / f"seed{seed}.npz"
    save_arrays(path, arrays)
    cell = {"profile": "demo", "method": method, "seed": seed,
            "source": PAIR[0], "target": PAIR[1]}  # fmt: skip
    write_json(path.with_suffix(".prov.json"), {"cell": cell})
    return str(path)


NO_IMAGES = Images([], [], profile="demo", seeds=[0], why_stale=lambda _: None)


def verdict(tmp_path: Path, params: dict[str, Any], ours: list[list[int]],
            theirs: list[list[int]]) -> Any:  # fmt: skip
    files = [write_queries(tmp_path, "crgan", s, ranks) for s, ranks in enumerate(ours)]
    files += [write_queries(tmp_path, "direct_transfer", s, r) for s, r in enumerate(theirs)]
    queries = Queries(files, profile="demo")
    [found] = weigh(
        comparisons([CLAIM], PRINTED), queries, NO_IMAGES, params=params, settings=SETTINGS
    )
    return found


def test_verdicts_by_hand(tmp_path: Path, params: dict[str, Any]) -> None:
    right, wrong = [1] * 8, [2] * 8
    holds = verdict(tmp_path / "a", params, [right], [wrong])
    assert (holds.verdict, holds.found.value) == ("holds", 100.0)
    fails = verdict(tmp_path / "b", params, [wrong], [right])
    assert (fails.verdict, fails.found.value) == ("fails", -100.0)
    mixed = verdict(tmp_path / "c", params, [[1, 1, 2, 2]], [[2, 2, 1, 2]])
    assert (mixed.verdict, mixed.found.value) == ("undecided", 25.0)
    equal = verdict(tmp_path / "d", params, [right], [right])
    assert (equal.verdict, equal.found.value) == ("undecided", 0.0)


def test_a_gain_in_every_query_but_one_seed_that_loses_is_undecided(
    tmp_path: Path, params: dict[str, Any]
) -> None:
    right, wrong = [1] * 8, [2] * 8
    found = verdict(tmp_path, params, [right, wrong], [wrong, right])
    assert (found.verdict, found.found.seeds) == ("undecided", 2)
    assert "2 seeds, too few" in found.notes[-1]


def test_pairing_keeps_to_common_seeds_and_dropped_queries_do_not_count(
    tmp_path: Path, params: dict[str, Any]
) -> None:
    found = verdict(tmp_path, params, [[1, 1, 0], [2, 2, 0]], [[2, 2, 0]])
    assert (found.verdict, found.found.value, found.found.queries) == ("holds", 100.0, 2)
    assert "1 of 2 seeds measured of both" in found.notes


def test_other_queries_cannot_be_paired(tmp_path: Path, params: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="different queries"):
        verdict(tmp_path, params, [[1, 1, 0]], [[2, 2, 2]])


def test_a_cell_that_was_not_measured_is_no_failure(tmp_path: Path, params: dict[str, Any]) -> None:
    found = verdict(tmp_path, params, [[1, 1]], [])
    assert (found.verdict, found.found) == ("not measured", None)
    assert found.notes == ("Direct Transfer market1501 to dukemtmc was not measured",)
    assert tally([found]) == {"holds": 0, "fails": 0, "undecided": 0, "not measured": 1}


def write_visual(folder: Path, method: str, seed: int, fid: float) -> str:
    path = folder / "visual" / method / f"seed{seed}.json"
    record = {"method": method, "source": PAIR[0], "target": PAIR[1], "seed": seed,
              "profile": "demo", "lpips": 0.2, "fid": fid, "notes": [],
              "reference": {"lpips": 0.4, "fid": 9.0}}  # fmt: skip
    write_json(path, record)
    return str(path)


def test_a_lower_fid_is_the_better_one(tmp_path: Path, params: dict[str, Any]) -> None:
    claims = [
        Claim("a", "", "", 4, ("CR-GAN",), ("SPGAN",), ("FID",), (PAIR,)),
        Claim("b", "", "", 4, ("CR-GAN",), ("Source-Target data",), ("FID",), (PAIR,)),
    ]
    files = [write_visual(tmp_path, "crgan", s, 2.0 + s) for s in (0, 1)]
    files += [write_visual(tmp_path, "spgan", s, 4.5 + s) for s in (0, 1)]
    images = Images(files, [], profile="demo", seeds=[0, 1], why_stale=lambda _: None)
    found = weigh(
        comparisons(claims, PRINTED), Queries([], profile="demo"), images,
        params=params, settings=SETTINGS,
    )  # fmt: skip
    assert [one.verdict for one in found] == ["holds", "holds"]
    assert [one.found.value for one in found if one.found] == [-2.5, pytest.approx(-6.5)]
    one_seed = Images(
        files[:1] + files[2:3], [], profile="demo", seeds=[0], why_stale=lambda _: None
    )
    [first, _] = weigh(
        comparisons(claims, PRINTED), Queries([], profile="demo"), one_seed,
        params=params, settings=SETTINGS,
    )  # fmt: skip
    assert (first.verdict, first.notes) == ("undecided", ("one value of one seed: no interval",))


def test_choices_made_with_labels_in_sight_are_marked(
    tmp_path: Path, params: dict[str, Any]
) -> None:
    chosen = [{"methods": ["crgan"], "what": "loss.lambda_con", "how": "tried on the test set"}]
    found = verdict(tmp_path, {**params, "chosen": chosen}, [[1, 1]], [[2, 2]])
    mark = "chosen with labels in sight: loss.lambda_con (tried on the test set)"
    assert mark in found.notes


def test_the_pages(tmp_path: Path, params: dict[str, Any]) -> None:
    holds = verdict(tmp_path / "a", params, [[1, 1, 1, 1, 1, 1]], [[2, 2, 2, 2, 2, 1]])
    unmeasured = load_claims(FILE).unmeasured
    write_csv(tmp_path / "claims.csv", [holds], unmeasured, "demo")
    with open(tmp_path / "claims.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["id"] == "dual"
    assert (rows[0]["difference"], rows[0]["paper_difference"]) == ("+83.33", "+15.3")
    assert float(rows[0]["low"]) < 83.33 <= float(rows[0]["high"])
    assert (rows[0]["verdict"], rows[0]["seeds"]) == ("holds", "1")
    assert [r["verdict"] for r in rows[1:]] == ["not measurable"] * len(unmeasured)
    text = markdown([holds], unmeasured, profile="demo", settings=SETTINGS)
    assert "not comparable with the paper's numbers" in text
    assert "1 holds, 0 fails, 0 undecided, 0 not measured; 1 comparisons of 1 claims." in text
    assert "| R1: CR-GAN > Direct Transfer | Market-1501 → DukeMTMC-reID | holds | +83.33 |" in text
