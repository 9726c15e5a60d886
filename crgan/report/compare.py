"""What the paper claims on its tables, and whether the measured tables say the same.

python -m crgan.report.compare results

A claim is one inequality between two rows of a table, asked in both directions. It holds or fails
by the measured means; where seeds spread wider than the difference, that is said too. Behind the
claims stands, for the tables of many methods, how well the whole measured order agrees with the
printed one.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import kendalltau

from crgan.report.names import dataset_label, profile_warning
from crgan.report.tables import rounded
from crgan.run.errors import UserError


@dataclass(frozen=True)
class Claim:
    """In `table`, `better` beats `worse` by each of `metrics` (FID: is lower)."""

    table: int
    better: str
    worse: str
    metrics: tuple[str, ...]


_RATES = ("R1", "mAP")
CLAIMS = (
    # section 4.2: more diverse with target instances as guidance, and nearer to the target
    Claim(1, "CR-GAN", "w/o dual condition", ("LPIPS", "FID")),
    Claim(1, "CR-GAN", "Source-Target data", ("FID",)),
    Claim(2, "w/o dual cond", "Direct Transfer", _RATES),
    Claim(2, "CR-GAN", "w/o dual cond", _RATES),
    Claim(2, "CR-GAN+LMP", "w/o dual cond+LMP", _RATES),
    Claim(2, "CR-GAN+LMP", "CR-GAN", _RATES),  # not said in words, but so printed
    # section 4.2: removing any loss costs performance
    Claim(3, "CR-GAN", "w/o identity loss", _RATES),
    Claim(3, "CR-GAN", "w/o camera loss", _RATES),
    Claim(3, "CR-GAN", "w/o context loss", _RATES),
    # section 4.3: the best image-level system, in pictures (Table 4) and in re-id (Table 5)
    Claim(4, "CR-GAN", "SPGAN", ("LPIPS", "FID")),
    Claim(5, "CR-GAN", "PTGAN", ("R1",)),
    Claim(5, "CR-GAN", "SPGAN", _RATES),
    Claim(5, "CR-GAN", "M2M-GAN", _RATES),
    Claim(5, "CR-GAN+LMP", "SPGAN+LMP", _RATES),
    Claim(5, "CR-GAN+LMP", "M2M-GAN+LMP", _RATES),
    # section 4.4: the best hybrid of all, and better than what it is made of
    Claim(6, "CR-GAN+TAUDL", "SPGAN+TAUDL", _RATES),
    Claim(6, "CR-GAN+TAUDL", "HHL", _RATES),
    Claim(6, "CR-GAN+TAUDL", "TAUDL", _RATES),
    Claim(6, "CR-GAN+TAUDL", "CR-GAN+LMP", _RATES),
    Claim(7, "CR-GAN", "SPGAN", ("R1",)),
    Claim(7, "CR-GAN+TAUDL", "HHL", _RATES),
)
ORDERED = (5, 6, 7)
"""Tables with enough methods for their order to be compared."""
_LOWER_IS_BETTER = ("FID",)


@dataclass(frozen=True)
class Verdict:
    """One claim by one metric in one direction.

    Attributes:
        measured: `better` minus `worse`; None where one of them was not measured.
        spread: standard deviation of that difference over seeds; None with one seed.
        paper: the same difference as printed.
    """

    claim: Claim
    metric: str
    source: str
    target: str
    measured: float | None
    spread: float | None
    paper: float | None

    def word(self) -> str:
        """`holds`, `fails` or `not measured`; `within spread` where the seeds leave it open."""
        if self.measured is None:
            return "not measured"
        sign = -1 if self.metric in _LOWER_IS_BETTER else 1
        word = "holds" if sign * self.measured > 0 else "fails"
        if self.spread is not None and abs(self.measured) <= self.spread:
            word += ", within spread"
        return word


Rows = Sequence[Mapping[str, str]]


def compare(folder: str | Path, claims: Sequence[Claim] = CLAIMS) -> tuple[str, list[Verdict]]:
    """The profile of the tables in `folder` and the verdict on each claim.

    Raises:
        UserError: a table that is missing or is none of ours, or tables of two profiles.
    """
    tables = {n: _read(Path(folder) / f"table{n}.csv") for n in sorted({c.table for c in claims})}
    profiles = {row["profile"] for rows in tables.values() for row in rows}
    if len(profiles) != 1:
        raise UserError(
            f"{folder}: tables of profiles {', '.join(sorted(profiles))}; make all of them again"
        )
    verdicts = [
        verdict for claim in claims for verdict in _verdicts(claim, tables[claim.table], folder)
    ]
    return profiles.pop(), verdicts


def report(profile: str, verdicts: Sequence[Verdict]) -> str:
    """The verdicts as a Markdown table under the profile's warning; ends with a line break."""
    lines = [
        f"Profile {profile}: {profile_warning(profile)}.",
        "",
        "| Table | Claim | Direction | Verdict | Difference | Paper |",
        "| --- | --- | --- | --- | ---: | ---: |",
    ]
    for v in verdicts:
        sign = "<" if v.metric in _LOWER_IS_BETTER else ">"
        claim = f"{v.metric}: {v.claim.better} {sign} {v.claim.worse}"
        where = f"{dataset_label(v.source)} → {dataset_label(v.target)}"
        spread = f" ± {rounded(v.metric, v.spread)}" if v.spread is not None else ""
        measured = _signed(v.metric, v.measured) + spread
        paper = _signed(v.metric, v.paper)
        lines.append(f"| {v.claim.table} | {claim} | {where} | {v.word()} | {measured} | {paper} |")
    count = sum(v.word().startswith("holds") for v in verdicts)
    measured_count = sum(v.measured is not None for v in verdicts)
    lines += ["", f"{count} of {measured_count} measured claims hold; {len(verdicts)} in all."]
    return "\n".join(lines) + "\n"


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
        where = f"{dataset_label(order.source)} → {dataset_label(order.target)}"
        names = ", ".join(
            f"{name} ({place})" for name, place in zip(order.methods, order.printed, strict=True)
        )
        lines.append(f"| {order.table} | {where} | {order.tau:+.2f} | {names} |")
    return "\n".join(lines) + "\n"


def _verdicts(claim: Claim, rows: Rows, folder: str | Path) -> list[Verdict]:
    by_row = {(row["method"], row["source"], row["target"]): row for row in rows}
    directions = dict.fromkeys((row["source"], row["target"]) for row in rows)
    found = []
    for metric in claim.metrics:
        for direction in directions:
            try:
                better, worse = (by_row[name, *direction] for name in (claim.better, claim.worse))
                found.append(_verdict(claim, metric, direction, better, worse))
            except KeyError as error:
                raise UserError(
                    f"{folder}/table{claim.table}.csv: no {error}; make the table again"
                ) from None
    return found


def _verdict(
    claim: Claim,
    metric: str,
    direction: tuple[str, str],
    better: Mapping[str, str],
    worse: Mapping[str, str],
) -> Verdict:
    def values(column: str) -> tuple[float, float] | None:
        texts = better[column], worse[column]
        return (float(texts[0]), float(texts[1])) if all(texts) else None

    mean, std, paper = (values(metric + suffix) for suffix in ("", "_std", "_paper"))
    return Verdict(
        claim,
        metric,
        *direction,
        measured=mean[0] - mean[1] if mean else None,
        spread=math.hypot(*std) if std else None,
        paper=paper[0] - paper[1] if paper else None,
    )


def _read(path: Path) -> Rows:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; make it first (make {path})") from None
    if not rows or "profile" not in rows[0]:
        raise UserError(f"{path}: not a table of this project; make it again")
    return rows


def _signed(metric: str, value: float | None) -> str:
    text = rounded(metric, value)
    return f"+{text}" if value is not None and not text.startswith("-") else text


def main(argv: list[str] | None = None) -> None:
    """Print the verdicts on the tables of a folder."""
    parser = argparse.ArgumentParser(prog="python -m crgan.report.compare", description=__doc__)
    parser.add_argument("folder", type=Path, help="where table1.csv to table7.csv stand")
    args = parser.parse_args(argv)
    try:
        print(report(*compare(args.folder)))
        print(report_orders(orders(args.folder)), end="")
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
