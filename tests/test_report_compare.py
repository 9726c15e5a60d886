"""Claims of the paper against tables worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from crgan.report.compare import (
    CLAIMS,
    Claim,
    compare,
    main,
    orders,
    report,
    report_orders,
)
from crgan.report.printed import table_rows
from crgan.run.errors import UserError

ROOT = Path(__file__).parents[1]
HEAD = "profile,method,source,target,R1,R1_std,R1_paper,mAP,mAP_std,mAP_paper,note\n"
CLAIM = Claim(2, "CR-GAN", "Direct Transfer", ("R1",))


def write(
    folder: Path, better: str, worse: str, name: str = "table2.csv", head: str = HEAD
) -> None:
    pair = "market1501,dukemtmc"
    (folder / name).write_text(
        f"{head}demo,CR-GAN,{pair},{better},,,,\ndemo,Direct Transfer,{pair},{worse},,,,\n"
    )


@pytest.mark.parametrize(
    ("better", "worse", "word", "difference"),
    [
        ("60.0,,52.2", "40.5,,36.9", "holds", "+19.5"),
        ("40.0,,52.2", "40.5,,36.9", "fails", "-0.5"),
        ("41.0,3.0,52.2", "40.0,4.0,36.9", "holds, within spread", "+1.0 ± 5.0"),
        (",,52.2", "40.5,,36.9", "not measured", ""),
    ],
)
def test_a_claim_holds_or_fails_by_the_means(
    better: str, worse: str, word: str, difference: str, tmp_path: Path
) -> None:
    write(tmp_path, better, worse)
    profile, [verdict] = compare(tmp_path, [CLAIM])
    assert verdict.word() == word
    line = f"| 2 | R1: CR-GAN > Direct Transfer | Market-1501 → DukeMTMC-reID | {word} |"
    text = report(profile, [verdict])
    assert f"{line} {difference} | +15.3 |\n" in text
    assert text.startswith("Profile demo: measured on the generated demo benchmark")


def test_a_lower_fid_is_the_better_one(tmp_path: Path) -> None:
    write(tmp_path, "0.058,,", "0.330,,", "table1.csv", HEAD.replace("R1", "FID"))
    _, [verdict] = compare(tmp_path, [Claim(1, "CR-GAN", "Direct Transfer", ("FID",))])
    assert (verdict.word(), verdict.measured) == ("holds", pytest.approx(-0.272))


def test_the_papers_own_tables_bear_out_every_claim() -> None:
    for claim in CLAIMS:
        rows = {
            (r.method, r.source, r.target): r
            for r in table_rows(claim.table, ROOT / "reported").rows
        }
        for metric in claim.metrics:
            printed = 0
            for method, *direction in rows:
                if method != claim.better:
                    continue
                better = rows[claim.better, *direction].paper[metric]
                worse = rows[claim.worse, *direction].paper[metric]
                if better is not None and worse is not None:
                    printed += 1
                    assert (better < worse) if metric == "FID" else (better > worse)
            assert printed, (claim, metric)


def test_orders_by_hand(tmp_path: Path) -> None:
    values = {"A": (50, 30), "B": (60, 20), "C": (40, 10), "D": ("", 90), "E": (99, "")}
    pair = "market1501,dukemtmc"
    lines = [f"demo,{name},{pair},{r1},,{paper},,,," for name, (r1, paper) in values.items()]
    (tmp_path / "table6.csv").write_text(HEAD + "\n".join(lines) + "\n")
    [order] = orders(tmp_path, [6])
    assert (order.methods, order.printed) == (("B", "A", "C"), (2, 1, 3))
    assert order.tau == pytest.approx(1 / 3)  # pairs: AC and BC agree, AB does not
    assert "| 6 | Market-1501 → DukeMTMC-reID | +0.33 | B (2), A (1), C (3) |" in report_orders(
        [order]
    )


def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=r"table2.csv: no such file"):
        compare(tmp_path, [CLAIM])
    (tmp_path / "table2.csv").write_text("method,R1\nCR-GAN,1\n")
    with pytest.raises(UserError, match="not a table of this project"):
        compare(tmp_path, [CLAIM])
    write(tmp_path, "1,,", "2,,")
    with pytest.raises(UserError, match=r"no .*'PTGAN'"):
        compare(tmp_path, [Claim(2, "PTGAN", "CR-GAN", ("R1",))])
    table = tmp_path / "table2.csv"
    table.write_text(table.read_text().replace("demo,CR-GAN", "smoke,CR-GAN"))
    with pytest.raises(UserError, match="profiles demo, smoke"):
        compare(tmp_path, [CLAIM])
    with pytest.raises(SystemExit):
        main([str(tmp_path / "nowhere")])
    assert "no such file" in capsys.readouterr().err
