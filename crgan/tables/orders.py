"""How well the whole measured order of methods agrees with the printed one, table by table.

crgan orders results

Behind the claims, which are pairs, stands Kendall's rank correlation of all methods of a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import kendalltau

from crgan.common.errors import UserError
from crgan.tables.written import direction_label, read_rows

ORDERED = (5, 6, 7)
"""Tables with enough methods for their order to be compared."""

Rows = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Order:
    """The methods of a table in one direction by R1, measured and printed.

    Attributes:
        methods: those measured and printed, the best measured first.
        printed: place of each in the printed order, 1 the best.
        tau: Kendall's rank correlation of the two orders, 1 equal, -1 reversed.
    """

    table: int
    source: str
    target: str
    methods: tuple[str, ...]
    printed: tuple[int, ...]
    tau: float


def orders(folder: str | Path, tables: Sequence[int] = ORDERED) -> list[Order]:
    """The measured order of methods beside the printed one; directions with fewer than three
    methods that have both are left out.

    Raises:
        UserError: a table that is missing or is none of ours.
    """
    found = []
    for number in tables:
        rows = _read(Path(folder) / f"table{number}.csv")
        for source, target in dict.fromkeys((row["source"], row["target"]) for row in rows):
            both = [
                (float(row["R1"]), float(row["R1_paper"]), row["method"])
                for row in rows
                if (row["source"], row["target"]) == (source, target)
                and row["R1"] and row["R1_paper"]
            ]  # fmt: skip
            if len(both) < 3:
                continue
            both.sort(key=lambda entry: -entry[0])
            best_first = sorted((paper for _, paper, _ in both), reverse=True)
            found.append(
                Order(
                    number, source, target,
                    tuple(name for _, _, name in both),
                    tuple(best_first.index(paper) + 1 for _, paper, _ in both),
                    float(kendalltau([m for m, _, _ in both], [p for _, p, _ in both]).statistic),
                )
            )  # fmt: skip
    return found


def report_orders(found: Sequence[Order]) -> str:
    """The orders as a Markdown table; ends with a line break."""
    lines = [
        "| Table | Direction | Kendall's tau | Best measured first (place as printed) |",
        "| --- | --- | ---: | --- |",
    ]
    for order in found:
        where = direction_label(order.source, order.target)
        names = ", ".join(
            f"{name} ({place})" for name, place in zip(order.methods, order.printed, strict=True)
        )
        lines.append(f"| {order.table} | {where} | {order.tau:+.2f} | {names} |")
    return "\n".join(lines) + "\n"


def _read(path: Path) -> Rows:
    rows = read_rows(path)
    if rows is None:
        raise UserError(f"{path}: no such file; make it first (make {path})")
    if not rows or "profile" not in rows[0]:
        raise UserError(f"{path}: not a table of this project; make it again")
    return rows
