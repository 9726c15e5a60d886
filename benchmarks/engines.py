"""What Snakemake and DVC themselves cost, with stages of milliseconds, and as ratios in one run.

    python -m benchmarks.engines            # the whole matrix
    python -m benchmarks.engines --small    # CR-GAN and Direct Transfer in one direction

DVC stands above Snakemake, so `dvc repro` is Snakemake's own time, once a stage of dvc.yaml, and
what DVC adds. Beside each wall time stands the processor time, which other work on the machine
changes less.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from tests.stub_project import SMALL, make, run, set_params, starts

SNAKEMAKE = ("snakemake", "--cores", "2")
TARGETS = ("tables", "figures")


def measure(folder: Path, name: str, *command: str, repeat: int = 1) -> float:
    """Run a command, print its least wall time, its processor time and how many stages ran.

    Returns:
        The least wall time, in seconds.
    """
    walls, cpus, ran = [], [], 0
    for _ in range(repeat):
        before, began = _cpu(), time.monotonic()
        run(folder, *command)
        walls.append(time.monotonic() - began)
        cpus.append(_cpu() - before)
        ran = len(starts(folder))
    print(f"{name:34}{min(walls):8.1f} s {min(cpus):8.1f} s CPU {ran:5} stages ran", flush=True)
    return min(walls)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engines",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--small", action="store_true", help="two methods in one direction")
    args = parser.parse_args()
    settings = SMALL if args.small else None
    with tempfile.TemporaryDirectory() as temporary:
        alone = make(Path(temporary) / "snakemake", settings)
        above = make(Path(temporary) / "dvc", settings)
        plain = measure(alone, "snakemake, from nothing", *SNAKEMAKE, *TARGETS)
        whole = measure(above, "dvc repro, from nothing", "dvc", "repro", "-q")
        print(f"{'':34}{whole / plain:8.2f} times snakemake")
        measure(alone, "snakemake, nothing to do", *SNAKEMAKE, *TARGETS, repeat=3)
        measure(above, "dvc repro, nothing to do", "dvc", "repro", "-q", repeat=3)
        for folder in (alone, above):
            set_params(folder, {"loss.lambda_con": 7})
        measure(alone, "snakemake, another lambda_con", *SNAKEMAKE, *TARGETS)
        measure(above, "dvc repro, another lambda_con", "dvc", "repro", "-q")


if __name__ == "__main__":
    main()
