"""Every measured cell of every direction in one table, whether or not the paper prints it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crgan.metrics.seeds import SeedStatistics, over_seeds
from crgan.tables.marks import marks_of
from crgan.tables.names import profile_warning
from crgan.tables.scores import Score
from crgan.tables.tables import rounded
from crgan.tables.written import csv_writer, direction_label, markdown_table

METRICS = ("R1", "R5", "R10", "mAP")
POOLINGS = {"global": "", "lmp": "+LMP", "global_rr": "+re-ranking", "lmp_rr": "+LMP+re-ranking"}
"""What a pooling adds to a method's name, as in the paper's tables."""


@dataclass(frozen=True)
class Line:
    """A method in one direction with one pooling.

    Attributes:
        method: key of section `methods`; label: its name, and what the pooling adds to it.
        measured: percent, over seeds.
        uses: the supervision it has.
    """

    method: str
    label: str
    source: str
    target: str
    pooling: str
    measured: Mapping[str, SeedStatistics]
    uses: str
    notes: tuple[str, ...]


def lines_of(
    scores: Sequence[Score],
    *,
    methods: Mapping[str, Mapping[str, Any]],
    chosen: Sequence[Mapping[str, Any]] = (),
) -> list[Line]:
    """The table's lines, by direction in order of name, then as ordered in `methods`.

    Args:
        scores: re-id scores (`crgan.tables.scores.read_scores`).
        methods, chosen: sections of the parameters.
    """
    lines = []
    for source, target in sorted({(score.source, score.target) for score in scores}):
        for method, entry in methods.items():
            cell = (method, source, target)
            own = [score for score in scores if (score.method, score.source, score.target) == cell]
            for pooling in (p for p in POOLINGS if any(p in score.values for score in own)):
                found = [score for score in own if pooling in score.values]
                lines.append(_line(cell, pooling, found, entry, chosen))
    return lines


def _line(
    cell: tuple[str, str, str],
    pooling: str,
    scores: Sequence[Score],
    entry: Mapping[str, Any],
    chosen: Sequence[Mapping[str, Any]],
) -> Line:
    values = [score.values[pooling] for score in scores]
    measured = {m: over_seeds(each[m] for each in values) for m in METRICS}
    notes = [note for score in scores for note in score.notes]
    notes += [f"{len(scores)} seed{'' if len(scores) == 1 else 's'}", *marks_of(cell[0], chosen)]
    uses = ", ".join(entry["uses"]) or "nothing"
    label = str(entry["label"]) + POOLINGS[pooling]
    return Line(cell[0], label, *cell[1:], pooling, measured, uses, tuple(dict.fromkeys(notes)))


def write_csv(path: str | Path, lines: Iterable[Line], profile: str) -> None:
    """Columns `profile, method, label, source, target, pooling`, then for each metric M
    `M, M_std`, then `seeds, uses, note`; M_std empty with one seed.
    """
    with csv_writer(path) as writer:
        values = [metric + end for metric in METRICS for end in ("", "_std")]
        keys = ["profile", "method", "label", "source", "target", "pooling"]
        writer.writerow([*keys, *values, "seeds", "uses", "note"])
        for line in lines:
            numbers = [text for metric in METRICS for text in _texts(line, metric)]
            of = [profile, line.method, line.label, line.source, line.target, line.pooling]
            seeds = line.measured["R1"].seeds
            writer.writerow([*of, *numbers, seeds, line.uses, "; ".join(line.notes)])


def markdown(lines: Sequence[Line], profile: str) -> str:
    """The same for people, one section for each direction; ends with a line break."""
    parts = [
        "# All measured cells",
        f"**Profile `{profile}`: {profile_warning(profile)}.**",
        "Percent: mean ± standard deviation over seeds.",
    ]
    for source, target in dict.fromkeys((line.source, line.target) for line in lines):
        own = [line for line in lines if (line.source, line.target) == (source, target)]
        rows = [["Method", *METRICS, "Uses"], ["---", *["---:"] * len(METRICS), "---"]]
        rows += [[line.label, *(_cell(line, m) for m in METRICS), line.uses] for line in own]
        parts.append(f"## {direction_label(source, target)}")
        parts.append(markdown_table(rows))
    return "\n\n".join(parts) + "\n"


def _texts(line: Line, metric: str) -> tuple[str, str]:
    found = line.measured[metric]
    return rounded(metric, found.mean), rounded(metric, found.std)


def _cell(line: Line, metric: str) -> str:
    mean, std = _texts(line, metric)
    return f"{mean} ± {std}" if std else mean
