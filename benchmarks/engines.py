"""What the two engines themselves cost, with stages of milliseconds.

    python -m benchmarks.engines            # whole matrix; DVC then runs stages for long
    python -m benchmarks.engines --quick    # without that: five minutes on a slow machine
    python -m benchmarks.engines --crgan    # only CR-GAN, its ablations and Direct Transfer

The limits are for a run with nothing to do: 5 s for `snakemake`, 10 s for `dvc repro`. Beside each
wall time stands the processor time, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tests.stub_project import ROOT, make, run, set_params, starts

SNAKEMAKE = ("snakemake", "--cores", "2")
COMMIT = ("python", "-m", "crgan.pipeline", "commit")
LIMITS = {"snakemake, nothing to do": 5.0, "dvc repro, nothing to do": 10.0}


def measure(folder: Path, name: str, *command: str, repeat: int = 1) -> None:
    """Run a command and print its least wall time, its processor time and what ran."""
    walls, cpus, ran = [], [], 0
    for _ in range(repeat):
        before, began = _cpu(), time.monotonic()
        run(folder, *command)
        walls.append(time.monotonic() - began)
        cpus.append(_cpu() - before)
        ran = len(starts(folder))
    limit = f"limit {LIMITS[name]:.0f} s" if name in LIMITS else ""
    print(f"{name:42}{min(walls):8.1f} s {min(cpus):8.1f} s CPU {ran:5} stages ran  {limit}")


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def crgan_alone() -> dict[str, Any]:
    """Settings that leave CR-GAN, its ablations and Direct Transfer in the matrix."""
    matrix = yaml.safe_load((ROOT / "params.yaml").read_text())["matrix"]
    kept = {
        "gan": lambda cell: cell["model"] == "crgan",
        "adapt": lambda cell: cell["method"] == "direct_transfer",
        "visual": lambda cell: cell["model"] == "crgan",
    }
    settings = {
        f"matrix.{name}": [c for c in matrix[name] if keep(c)] for name, keep in kept.items()
    }
    emptied = ("translators", "rendered", "handcrafted", "renderings", "selected")
    return settings | {f"matrix.{name}": [] for name in emptied}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engines",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="no long DVC runs")
    parser.add_argument("--crgan", action="store_true", help="not the whole matrix")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = make(Path(temporary) / "project", crgan_alone() if args.crgan else None)
        measure(folder, "snakemake -n, nothing built", *SNAKEMAKE, "-n")
        measure(folder, "snakemake, everything", *SNAKEMAKE)
        measure(folder, "snakemake, nothing to do", *SNAKEMAKE, repeat=3)
        measure(folder, "engines commit", *COMMIT)
        measure(folder, "dvc repro, nothing to do", "dvc", "repro", "-q", repeat=3)
        measure(folder, "dvc status", "dvc", "status", "-q")
        run(folder, "git", "commit", "-qam", "results", "--allow-empty")
        set_params(folder, {"loss.lambda_con": 7})
        measure(folder, "snakemake, another lambda_con", *SNAKEMAKE)
        if not args.quick:
            set_params(folder, {"loss.lambda_con": 3})
            measure(folder, "dvc repro, another lambda_con", "dvc", "repro", "-q")
            measure(folder, "snakemake after it (adopts)", *SNAKEMAKE)


if __name__ == "__main__":
    main()
