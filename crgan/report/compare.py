"""What the paper claims on Tables 1-3, and whether the measured tables say the same.

python -m crgan.report.compare results

A claim is one inequality between two rows of a table, asked in both directions. It holds or fails
by the measured means; where seeds spread wider than the difference, that is said too.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
)
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
    parser.add_argument("folder", type=Path, help="where table1.csv to table3.csv stand")
    args = parser.parse_args(argv)
    try:
        print(report(*compare(args.folder)), end="")
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
