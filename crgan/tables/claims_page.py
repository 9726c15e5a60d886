"""The weighed claims as a CSV for programs and as Markdown for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crgan.metrics.bootstrap import Settings
from crgan.tables.claims import LOWER_IS_BETTER, Place, Unmeasured
from crgan.tables.names import dataset_label, profile_warning
from crgan.tables.weigh import FAILS, HOLDS, UNDECIDED, UNMEASURED, Weighed, by_claim, tally
from crgan.tables.written import csv_writer, markdown_table, numbered

COLUMNS = (
    "id", "statement", "where", "table", "better", "worse", "metric", "source", "target",
    "verdict", "difference", "low", "high", "paper_difference", "seeds", "note", "profile",
)  # fmt: skip
_DECIMALS = {"LPIPS": 3, "FID": 3, "diversity": 3}


def write_csv(
    path: str | Path, weighed: Sequence[Weighed], unmeasured: Sequence[Unmeasured], profile: str
) -> None:
    """A line a comparison; statements that cannot be measured stand at the end, with why.

    `difference` is `better` minus `worse`, so of a metric where lower is better (FID) a claim holds
    below 0. `low`, `high` are its interval; `seeds` how many were measured of both. Where the two
    differ in direction, `source` and `target` name both ("dukemtmc / cuhk03").
    """
    with csv_writer(path) as writer:
        writer.writerow(COLUMNS)
        for one in weighed:
            c = one.comparison
            writer.writerow(
                [
                    c.claim.id, c.claim.statement, c.claim.where, c.claim.table,
                    c.better.method, c.worse.method, c.metric,
                    _both(c.better, c.worse, "source"), _both(c.better, c.worse, "target"),
                    one.verdict, *_numbers(one), one.found.seeds if one.found else 0,
                    "; ".join(one.notes), profile,
                ]
            )  # fmt: skip
        for entry in unmeasured:
            blank = [""] * (COLUMNS.index("verdict") - COLUMNS.index("table"))
            writer.writerow(
                [entry.id, entry.statement, entry.where, *blank, UNMEASURED, *[""] * 4, 0,
                 entry.why, profile]
            )  # fmt: skip


def markdown(
    weighed: Sequence[Weighed],
    unmeasured: Sequence[Unmeasured],
    *,
    profile: str,
    settings: Settings,
) -> str:
    """The same for people: each claim's count, then every comparison by table."""
    counts = tally(weighed)
    share = f"{100 * settings.confidence:g} %"
    parts = [
        "# The paper's claims, weighed",
        f"**Profile `{profile}`: {profile_warning(profile)}.**",
        f"Each claim is a list of comparisons. One **{HOLDS}** where the {share} bootstrap "
        "interval of the paired difference (better minus worse) lies on the claim's side of 0, "
        f"**{FAILS}** where it lies on the other, and is **{UNDECIDED}** where it holds 0, or "
        "where one number of one seed gives no interval. With very few seeds the interval speaks "
        f"of queries more than of trainings (docs/evidence.md). At {share}, of 100 comparisons of "
        f"equals some {100 * (1 - settings.confidence):g} are decided by chance.",
        ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        + f"; {len(weighed)} comparisons of {len(by_claim(weighed))} claims.",
        "## By claim",
        _summary(weighed),
    ]
    for table in dict.fromkeys(one.comparison.claim.table for one in weighed):
        own = [one for one in weighed if one.comparison.claim.table == table]
        parts.append(f"## Table {table}" if isinstance(table, int) else "## Table of renderings")
        parts.append(_details(own))
    parts.append("## Not measurable here")
    rows = [["Statement", "Where", "Why"], ["---"] * 3]
    rows += [[e.statement, e.where, e.why] for e in unmeasured]
    parts.append(_table(rows))
    return "\n\n".join(parts) + "\n"


def _summary(weighed: Sequence[Weighed]) -> str:
    rows = [["Claim", "Where", "Holds", "Fails", "Undecided", "Not measured"]]
    rows.append(["---", "---", *["---:"] * 4])
    for claim, own in by_claim(weighed):
        rows.append([claim.statement, claim.where, *map(str, tally(own).values())])
    return _table(rows)


def _details(weighed: Sequence[Weighed]) -> str:
    notes = list(dict.fromkeys(note for one in weighed for note in one.notes))
    rows = [["Comparison", "Direction", "Verdict", "Difference", "Interval", "Paper", "Notes"]]
    rows.append(["---", "---", "---", "---:", "---:", "---:", "---"])
    for one in weighed:
        c = one.comparison
        sign = "<" if c.metric in LOWER_IS_BETTER else ">"
        difference, low, high, paper = _numbers(one)
        rows.append(
            [
                f"{c.metric}: {c.better.method} {sign} {c.worse.method}",
                f"{_both(c.better, c.worse, 'source', True)} → "
                f"{_both(c.better, c.worse, 'target', True)}",
                f"**{one.verdict}**" if one.verdict == FAILS else one.verdict,
                difference or "-",
                f"{low} to {high}" if low else "-",
                paper or "-",
                ", ".join(str(notes.index(note) + 1) for note in one.notes),
            ]
        )
    listed = numbered(notes)
    return "\n\n".join([_table(rows), *([listed] if listed else [])])


def _numbers(one: Weighed) -> tuple[str, str, str, str]:
    """Difference, ends of its interval and printed difference, signed; empty for none."""
    # one place more than the tables print: the ends decide on which side of 0 they lie
    places = _DECIMALS.get(one.comparison.metric, 1) + 1
    found = one.found
    values = (found.value, found.low, found.high) if found else (None, None, None)
    texts = ["" if value is None else f"{value:+.{places}f}" for value in values]
    paper = one.comparison.paper
    return texts[0], texts[1], texts[2], "" if paper is None else f"{paper:+.{places - 1}f}"


def _both(better: Place, worse: Place, end: str, label: bool = False) -> str:
    names = dict.fromkeys(getattr(place, end) for place in (better, worse))
    return " / ".join(dataset_label(name) if label else name for name in names)


def _table(rows: Sequence[Sequence[str]]) -> str:
    return markdown_table([c.replace("|", "\\|") for c in row] for row in rows)
