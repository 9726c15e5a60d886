"""The first stage of dvc.yaml, which runs every time: what lies where the parameters point to.

python -m crgan.workflow.sources --out artifacts/sources.json

Raw data are too large, and too much others' property, to be outputs of DVC, and which files are raw
data is a parameter. So their fingerprints are written here, and those of every other file that a
parameter names; the stages that read them depend on this file.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import write_json
from crgan.common.paths import expanded
from crgan.pipeline.hashes import Hashes
from crgan.pipeline.identity import files_in, raw_data
from crgan.pipeline.params import load, slice_of
from crgan.pipeline.records import MADE


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


def _require_folders() -> None:
    """Say what DVC and Snakemake say less plainly, or in a traceback."""
    for name in MADE:
        if Path(name).is_symlink():
            raise UserError(
                f"{name} is a link to {os.readlink(name)}, and DVC keeps nothing behind links. "
                f"Keep its cache on that disk instead: rm {name}; dvc cache dir FOLDER; "
                "dvc config cache.type symlink. (snakemake alone works with such a link.)"
            )


def _require_cache() -> None:
    """Snakemake keeps a cache of its own, in the user's folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    there = next(path for path in (cache, *cache.absolute().parents) if path.exists())
    if not os.access(there, os.W_OK):
        raise UserError(
            f"{cache}: cannot be written, and Snakemake wants a cache there; "
            "run: export XDG_CACHE_HOME=$PWD/.scratch/cache"
        )


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
        _require_folders()
        _require_cache()
        write_json(args.out, sources(load()))
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
