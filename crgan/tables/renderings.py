"""The extra table of renderings: LPIPS and FID of every method, what its renderings keep, where
they seem to come from, how they vary.

Beyond the paper, whose tables have LPIPS and FID of some methods (`crgan.reid.judging` says what
the other columns are).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import read_json
from crgan.metrics.seeds import SeedStatistics, over_seeds
from crgan.tables.names import profile_warning
from crgan.tables.written import csv_writer, direction_label, markdown_table

JUDGED = {"identity": 1, "domain": 1, "camera": 1, "diversity": 3}  # decimals
VISUAL = {"lpips": 3, "fid": 3}
METRICS = {**VISUAL, **JUDGED}
MEANS = {  # of each column: its title, what it says
    "lpips": ("LPIPS", "distance between an image and its rendering: how much was changed"),
    "fid": ("FID", "distance between the renderings and the target's images; lower is nearer"),
    "identity": (
        "identity, %", "renderings taken for their own person by a CNN that saw no rendering",
    ),
    "domain": (
        "domain, %", "renderings taken for an image of any camera of the target, by a classifier "
        "of both sets' cameras",
    ),
    "camera": (
        "camera, %", "renderings taken for the very camera they were rendered for; - where a "
        "method names none",
    ),
    "diversity": ("diversity", "mean LPIPS among several renderings of one image"),
}  # fmt: skip
REFERENCE = "source images, unrendered"


@dataclass(frozen=True)
class Line:
    """A method in one direction; a metric it does not have is missing."""

    method: str
    source: str
    target: str
    measured: Mapping[str, SeedStatistics]
    notes: tuple[str, ...]


def lines_of(
    judged: Iterable[str | Path],
    visual: Iterable[str | Path],
    *,
    profile: str,
    methods: Mapping[str, Mapping[str, Any]],
    why_stale: Callable[[str], str | None],
) -> list[Line]:
    """The table's lines: for each direction the unrendered images, then the methods as ordered in
    section `methods` of the parameters.

    Args:
        judged: what `judge_images` wrote; visual: what `measure_images` wrote.
        profile, methods: of the parameters.
        why_stale: says why a file is not current, or None.

    Raises:
        UserError: naming the file, when a score is stale, of another profile, or no such score.
    """
    records = [
        _read(str(path), metrics, profile, methods, why_stale)
        for metrics, paths in ((JUDGED, judged), (VISUAL, visual))
        for path in paths
    ]
    lines = []
    for direction in sorted({(r["source"], r["target"]) for r in records}):
        own = [r for r in records if (r["source"], r["target"]) == direction]
        # LPIPS of an image to itself says nothing, and the other reference is of two images
        unrendered = {k: v for r in own for k, v in r["reference"].items() if k != "lpips"}
        lines.append(_line(REFERENCE, direction, [unrendered], ()))
        for key in methods:
            of_method = [r for r in own if r["method"] == key]
            if of_method:
                notes = dict.fromkeys(note for r in of_method for note in r["notes"])
                lines.append(_line(methods[key]["label"], direction, of_method, tuple(notes)))
    return lines


def _read(
    path: str,
    metrics: Iterable[str],
    profile: str,
    methods: Mapping[str, Any],
    why_stale: Callable[[str], str | None],
) -> dict[str, Any]:
    if reason := why_stale(path):
        raise UserError(f"{path}: not current: {reason}; judge the renderings again")
    record: dict[str, Any] = read_json(path)
    needed = {"method", "source", "target", "profile", "notes", "reference", *metrics}
    lacking = needed - set(record)
    if lacking:
        raise UserError(f"{path}: holds no {sorted(lacking)[0]}: measure the renderings again")
    if record["profile"] != profile or record["method"] not in methods:
        raise UserError(
            f"{path}: of profile {record['profile']!r} and method {record['method']!r}; this is a "
            f"table of {profile!r} and of the methods in params.yaml"
        )
    return record


def _line(
    name: str, direction: tuple[str, str], records: Sequence[Mapping[str, Any]],
    notes: tuple[str, ...],
) -> Line:  # fmt: skip
    values = {m: [r[m] for r in records if r.get(m) is not None] for m in METRICS}
    measured = {m: over_seeds(found) for m, found in values.items() if found}
    return Line(name, *direction, measured, notes)


def _text(line: Line, metric: str) -> tuple[str, str]:
    found = line.measured.get(metric)
    places = METRICS[metric]
    mean = f"{found.mean:.{places}f}" if found else ""
    return mean, f"{found.std:.{places}f}" if found and found.std is not None else ""


def write_csv(path: str | Path, lines: Sequence[Line], profile: str) -> None:
    """Columns `profile, method, source, target`, each metric and its `_std`, `note`."""
    with csv_writer(path) as writer:
        values = [metric + suffix for metric in METRICS for suffix in ("", "_std")]
        writer.writerow(["profile", "method", "source", "target", *values, "note"])
        for line in lines:
            texts = [text for metric in METRICS for text in _text(line, metric)]
            keys = [profile, line.method, line.source, line.target]
            writer.writerow([*keys, *texts, "; ".join(line.notes)])


def markdown(lines: Sequence[Line], profile: str) -> str:
    """The same for people, a section for each direction."""
    parts = [
        "# Renderings, judged (not in the paper)",
        f"**Profile `{profile}`: {profile_warning(profile)}.**",
        "\n".join(f"- {title}: {meaning}" for title, meaning in MEANS.values()),
    ]
    for source, target in dict.fromkeys((line.source, line.target) for line in lines):
        rows = [
            ["Method", *(MEANS[metric][0] for metric in METRICS)],
            ["---", *["---:"] * len(METRICS)],
        ]
        for line in lines:
            if (line.source, line.target) == (source, target):
                texts = [_text(line, metric) for metric in METRICS]
                cells = [f"{mean} ± {std}" if std else mean or "-" for mean, std in texts]
                rows.append([line.method, *cells])
        parts.append(f"## {direction_label(source, target)}")
        parts.append(markdown_table(rows))
    return "\n\n".join(parts) + "\n"
