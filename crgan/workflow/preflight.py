"""What the user must still bring: all of it in one message, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import atomic_path

SAID = Path("artifacts/preflight.txt")
NO_FILE = ("none", "random")  # explicit choices in place of weights


def missing_inputs(
    params: Mapping[str, Any],
    datasets: Iterable[str] | None = None,
    roles: Iterable[str] | None = None,
) -> list[str]:
    """One line for each raw data set that is not there, and how to get it.

    Weights can be fetched by the run itself, so their absence alone stops nothing; but when data
    are missing, the weights to bring along are listed too.

    Args:
        params: all parameters; the present profile's sources are looked at.
        datasets: which; all of the matrix by default.
        roles: which weights; all of the profile by default.
    """
    from crgan.data.prepare import Recipe, missing_source
    from crgan.weights.registry import missing

    profile = params["profiles"][params["profile"]]
    lines = []
    for name in params["matrix"]["datasets"] if datasets is None else datasets:
        recipe = Recipe.of(name, {**params["data"][name], **profile["data"][name]})
        if line := missing_source(name, recipe):
            lines.append(line)
    if not lines:
        return []
    chosen = profile["weights"] if roles is None else {r: profile["weights"][r] for r in roles}
    for name in dict.fromkeys(map(str, chosen.values())):
        if "/" in name and not Path(name).is_file():
            lines.append(f"{name} is not there")
        elif "/" not in name and name not in NO_FILE:
            lines += missing([name])
    return lines


def require(
    params: Mapping[str, Any],
    datasets: Iterable[str] | None = None,
    roles: Iterable[str] | None = None,
) -> None:
    """Raise a `UserError` with all of `missing_inputs`, if there are any."""
    lines = missing_inputs(params, datasets, roles)
    if lines:
        listed = "\n".join(f"  - {line}" for line in lines)
        raise UserError(
            f"profile {params['profile']!r} needs what is not there yet:\n{listed}\n"
            "To do without a data set, take it and its cells out of `matrix` in params.yaml, or "
            f"ask snakemake for a table that does not need it.{_of_a_queue()}"
        )


def write(params: Mapping[str, Any], path: Path = SAID) -> None:
    """Write down what `require` found to be there: the first output of DVC's graph."""
    names = ", ".join(params["matrix"]["datasets"])
    with atomic_path(path) as temporary:
        temporary.write_text(f"profile {params['profile']}: nothing is missing of {names}\n")


def _of_a_queue() -> str:
    """DVC runs what is queued in a folder of its own, without what Git ignores."""
    parts = Path.cwd().parts
    if parts[-4:-1] != (".dvc", "tmp", "exps"):
        return ""
    return (
        "\nThis is an experiment of DVC's queue, which has no `resources` beside it: run `dvc "
        "repro prepare_data fetch_weights` in the project, then queue it again."
    )


def require_for_jobs(params: Mapping[str, Any], jobs: Iterable[Any]) -> None:
    """`require` for what these jobs of Snakemake are going to read."""
    datasets, roles = [], []
    for job in jobs:
        if job.rule.name == "prepare_data":
            datasets.append(job.wildcards.dataset)
        elif job.rule.name == "fetch_weights":
            roles.append(job.wildcards.role)
    if datasets:
        require(params, sorted(datasets), sorted(roles))
