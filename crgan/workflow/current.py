"""The last stage of dvc.yaml, which runs every time: whether all that is in place stands.

python -m crgan.workflow.current --out results/metrics.json

DVC asks no record. `dvc commit -f` after a changed parameter tells it that the old table is the new
parameters', and so it would stay; here it is named, and the run ends with status 2. Where all
stands, the tables' measured values and the label-free criteria are written as one JSON, for
`dvc metrics diff`, `dvc exp show` and `crgan select`.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import read_json, write_json
from crgan.pipeline.params import load
from crgan.pipeline.records import SUFFIX
from crgan.workflow.adopt import adopt

Metrics = dict[str, dict[str, dict[str, dict[str, float]]]]


def require_current(params: dict[str, Any]) -> None:
    """Raise a `UserError` that names an output of the present profile that does not stand."""
    found = adopt(params, look_only=True)
    stale = found.stale | {
        name: "of other parameters; that of these is beside it"
        for name in found.restored
        if Path(name).is_file()
    }
    if stale:
        name, reason = next(iter(stale.items()))
        more = f" (and {len(stale) - 1} more)" if len(stale) > 1 else ""
        raise UserError(
            f"{name}: {reason}{more}. DVC was told that it is current; "
            "run snakemake --cores all, then dvc repro"
        )


def metrics_of(tables: Iterable[Path], profile: str) -> Metrics:
    """{table: {method: {source-target: {metric: measured}}}} of a profile's tables."""
    found: Metrics = {}
    for path in sorted(tables):
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row.get("profile") == profile]
        for row in rows:
            values = _measured(row)
            if values:
                methods = found.setdefault(path.stem, {}).setdefault(row["method"], {})
                methods[f"{row['source']}-{row['target']}"] = values
    return found


def selection_of(folder: Path) -> dict[str, Any]:
    """{method/source-target/seed: criteria} of what stage `select` wrote below a folder."""
    files = (path for path in sorted(folder.rglob("*.json")) if not path.name.endswith(SUFFIX))
    return {str(path.relative_to(folder).with_suffix("")): read_json(path) for path in files}


def _measured(row: Mapping[str, str]) -> dict[str, float]:
    """A row's metrics: the columns that have a twin `<column>_paper`."""
    columns = [name for name in row if f"{name}_paper" in row and row[name]]
    return {name: float(row[name]) for name in columns}


def main() -> None:
    """The command; a `UserError` ends with status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m crgan.workflow.current",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="the metrics, JSON")
    args = parser.parse_args()
    try:
        params = load()
        require_current(params)
        profile = params["profile"]
        found: dict[str, Any] = metrics_of(Path("results").glob("table?.csv"), profile)
        found["selection"] = selection_of(Path("results") / profile / "selection")
        write_json(args.out, found)
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
