"""Write README's table of results from a rebuilt recorded run's table6.csv and claims.csv.

make study-tables && python tools/readme_results.py [README.md [.scratch/recorded/study/results]]
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path

BEGIN, END = "<!-- results: written by tools/readme_results.py -->\n", "<!-- results: end -->"
GROUPS = (
    ("reference", "Direct Transfer"),
    ("shallow", "LOMO", "BoW", "UMDL"),
    ("image", "PTGAN"),
    ("image", "SPGAN+LMP"),
    ("image", "M2M-GAN+LMP"),
    ("image", "CR-GAN+LMP"),
    ("feature", "PUL", "TJ-AIDL", "MMFA"),
    ("feature", "BUC", "TAUDL"),
    ("hybrid", "HHL", "SPGAN+TAUDL"),
    ("hybrid", "CR-GAN+TAUDL"),
    ("beyond the paper", "AdaBN", "CR-GAN+AdaBN", "CR-GAN+Cluster-Contrast"),
)
TARGETS = ("dukemtmc", "market1501")


def table(folder: Path) -> str:
    """Markdown: R1 of Table 6's rows in both directions, then the claims counted."""
    with open(folder / "table6.csv", newline="") as file:
        rows = {(row["method"], row["target"]): row for row in csv.DictReader(file)}
    profile = next(iter(rows.values()))["profile"]
    with open(folder / "claims.csv", newline="") as file:
        verdicts = Counter(row["verdict"] for row in csv.DictReader(file))
    del verdicts["not measurable"]
    all_of_them = sum(verdicts.values())
    measured = all_of_them - verdicts["not measured"]

    def cell(methods: tuple[str, ...], target: str, column: str) -> str:
        found = (rows[method, target][column] for method in methods)
        return ", ".join(f"{float(value):.1f}" if value else "-" for value in found)

    lines = [
        f"| type | method | Market → Duke, {profile} | paper | Duke → Market, {profile} | paper |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for kind, *methods in GROUPS:
        shown = ", ".join(
            f"**{method}**" if method in ("CR-GAN+LMP", "CR-GAN+TAUDL") else method
            for method in methods
        )
        cells = [cell(tuple(methods), t, c) for t in TARGETS for c in ("R1", "R1_paper")]
        lines.append(f"| {' | '.join((kind, shown, *cells))} |")
    lines += [
        "",
        f"Of the {all_of_them} comparisons that the paper claims, {measured} are measured on "
        f"`{profile}`: {verdicts['holds']} hold, {verdicts['fails']} fail and "
        f"{verdicts['undecided']} are undecided.",
    ]
    return "\n".join(lines) + "\n"


def main(readme: str = "README.md", folder: str = ".scratch/recorded/study/results") -> None:
    """Replace what stands between the marks."""
    text = Path(readme).read_text()
    start = text.index(BEGIN) + len(BEGIN)
    Path(readme).write_text(text[:start] + table(Path(folder)) + text[text.index(END) :])


if __name__ == "__main__":
    main(*sys.argv[1:])
