"""DVC's experiments, ordered by a criterion that looks at no label of the target's test set."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crgan.common.errors import UserError
from crgan.report.trace_text import flatten

_RATES = ("global.rank1", "global.mAP", "lmp.rank1", "lmp.mAP")
CRITERIA = ("camera_mixing", "reciprocity", "snd", *(f"validation.{rate}" for rate in _RATES))
METRICS, SECTION = "metrics.json", "selection"  # as crgan.workflow.current writes them


@dataclass(frozen=True)
class Experiment:
    """An experiment (or the workspace) with its mean of the criterion over cells and seeds.

    Attributes:
        changed: its values of the parameters in which those that are compared differ.
        values: the criterion by cell and seed.
    """

    name: str
    changed: Mapping[str, Any]
    values: Mapping[str, float]

    @property
    def mean(self) -> float:
        """Mean over cells and seeds; the same ones in every experiment that is compared."""
        return sum(self.values.values()) / len(self.values)


def dvc_show() -> list[dict[str, Any]]:
    """What `dvc exp show --json` says.

    Raises:
        UserError: DVC's message.
    """
    # Not --quiet, which silences the JSON too.
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    written = [line for line in done.stdout.splitlines() if line.startswith("[{")]
    if done.returncode or not written:
        told = done.stderr.strip() or done.stdout.strip() or "said nothing"
        raise UserError(f"dvc exp show: {told}")
    shown: list[dict[str, Any]] = json.loads(written[-1])
    return shown


def experiments(
    shown: Iterable[Mapping[str, Any]], criterion: str, cell: str = ""
) -> list[Experiment]:
    """Experiments by the criterion, the highest first; those that lack it are left out.

    Args:
        shown: `dvc_show`'s answer.
        cell: part of a cell's name, such as crgan/market1501-dukemtmc; "" for all selected cells.

    Raises:
        UserError: none has the criterion, or they have it for different cells and seeds.
    """
    found = []
    for name, data in _all(shown):
        params = dict(flatten({k: v["data"] for k, v in data["params"].items() if v.get("data")}))
        values = {}
        for path, metric in data["metrics"].items():
            selected = (metric.get("data") or {}).get(SECTION, {}) if path.endswith(METRICS) else {}
            for measured, criteria in selected.items():
                numbers = dict(flatten(criteria))
                if cell in measured and criterion in numbers:
                    values[measured] = float(numbers[criterion])
        if values:
            found.append((name, params, values))
    if not found:
        raise UserError(
            f"no experiment has {criterion!r} of {cell or 'any cell'}; run dvc exp run first, with "
            "`select` in the line of the method in params.yaml"
        )
    if any(set(values) != set(found[0][2]) for _, _, values in found):
        raise UserError(
            "the experiments were measured on different cells or seeds, so their means do not "
            "compare; name one cell by --cell, or run them with the same matrix"
        )
    known = {key for _, params, _ in found for key in params}
    differing = [
        key for key in sorted(known) if any(p.get(key) != found[0][1].get(key) for _, p, _ in found)
    ]
    listed = [
        Experiment(name, {_short(key): params.get(key) for key in differing}, values)
        for name, params, values in found
    ]
    return sorted(listed, key=lambda one: -one.mean)


def _short(key: str) -> str:
    """Without the file it stands in."""
    return key.partition(".yaml.")[2] or key


def report(found: Iterable[Experiment], criterion: str) -> str:
    """The list as text; ends with a line break."""
    lines = [f"{criterion} (mean over cells and seeds; the highest first; no test label was read)"]
    for one in found:
        changed = ", ".join(f"{key}={value}" for key, value in one.changed.items()) or "-"
        lines.append(f"{one.mean:10.4f}  {one.name:20}  {changed}")
    return "\n".join(lines) + "\n"


def _all(shown: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for commit in shown:
        if commit.get("data"):
            yield str(commit.get("name") or commit["rev"][:7]), commit["data"]
        for experiment in commit.get("experiments") or ():
            for revision in experiment["revs"][:1]:
                if revision.get("data"):
                    yield str(revision.get("name") or revision["rev"][:7]), revision["data"]
