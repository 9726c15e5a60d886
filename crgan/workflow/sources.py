"""The first stage of dvc.yaml, which runs every time: what lies where the parameters point to.

python -m crgan.workflow.sources --out artifacts/sources.json

Raw data are too large, and too much others' property, to be outputs of DVC, and which files are raw
data is a parameter. So their fingerprints are written here, and those of every other file that a
parameter names; the stages that read them depend on this file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import write_json
from crgan.common.paths import expanded
from crgan.pipeline.hashes import Hashes
from crgan.pipeline.identity import files_in, raw_data
from crgan.pipeline.params import load, slice_of


def sources(params: dict[str, Any]) -> dict[str, Any]:
    """{raw: {data set: fingerprint}, files: {name: sha256}} of the present profile."""
    hashes = Hashes()
    shared = {key: value for key, value in params.items() if key not in ("profiles", "data")}
    own = {k: v for k, v in params["profiles"][params["profile"]].items() if k != "data"}
    data = {
        name: slice_of("prepare_data", params, dataset=name)["data"]
        for name in params["matrix"]["datasets"]
    }
    beside = [{k: v for k, v in values.items() if k != "source"} for values in data.values()]
    found = {
        "raw": {name: raw_data(values) for name, values in data.items()},
        "files": {n: hashes.of(expanded(n)) for n in files_in([shared, own, beside])},
    }
    hashes.save()
    return found


def main() -> None:
    """The command; a `UserError` ends with status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m crgan.workflow.sources",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="the fingerprints, JSON")
    args = parser.parse_args()
    try:
        write_json(args.out, sources(load()))
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
