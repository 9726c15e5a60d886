"""What a command line of Snakemake is about to do."""

from __future__ import annotations

import pytest

from crgan.workflow.plan import plans_jobs, runs_jobs

TABLE = "results/table6.csv"


@pytest.mark.parametrize(
    ("words", "runs", "plans"),
    [
        (["--cores", "2", TABLE], True, False),
        (["-n", TABLE], False, True),
        (["-n", TABLE, "--config", "profile=paper", "pairs=[msmt17]"], False, True),
        (["-n", "--printshellcmds", TABLE], False, False),  # Snakemake's own, job by job
        (["-n", "--verbose", TABLE], False, False),
        (["-n", "--quiet", "rules", "--", TABLE], False, False),
        (["--summary", TABLE], False, False),
        (["--report", "x.zip", TABLE], False, False),
        (["--cores", "2", "--touch", TABLE], False, False),
    ],
)
def test_runs_and_plans(words: list[str], runs: bool, plans: bool) -> None:
    argv = ["/somewhere/bin/snakemake", *words]
    assert (runs_jobs(argv), plans_jobs(argv)) == (runs, plans)


def test_another_program_runs_nothing() -> None:
    assert not runs_jobs(["/usr/bin/pytest", "-n", "2"])
    assert not plans_jobs(["/usr/bin/pytest", "-n", "2"])
