"""What the two engines themselves cost, on the whole matrix with stages of milliseconds.

    python -m benchmarks.engines            # about five minutes on two idle cores
    python -m benchmarks.engines --quick    # without DVC running every stage

The limits are for a run with nothing to do: 5 s for `snakemake`, 10 s for `dvc repro`. Beside each
wall time stands the processor time, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from tests.stub_project import make, run, set_params, starts

SNAKEMAKE = ("snakemake", "--cores", "2")
COMMIT = ("python", "-m", "crgan.engines", "commit")
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engines",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="no long DVC runs")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = make(Path(temporary) / "project")
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
