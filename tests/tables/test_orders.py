"""Orders of methods against tables worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from crgan.cli import main
from crgan.common.errors import UserError
from crgan.tables.orders import orders, report_orders

HEAD = "profile,method,source,target,R1,R1_std,R1_paper,mAP,mAP_std,mAP_paper,note\n"


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


def test_what_has_no_order_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"table6.csv: no such file"):
        orders(tmp_path, [6])
    (tmp_path / "table6.csv").write_text("method,R1\nCR-GAN,1\n")
    with pytest.raises(UserError, match="not a table of this project"):
        orders(tmp_path, [6])
    with pytest.raises(SystemExit):
        main(["orders", str(tmp_path / "nowhere")])
    assert "no such file" in capsys.readouterr().err
