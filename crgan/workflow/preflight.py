"""What the user must still bring: all of it in one message, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.workflow.labels import require_labels

NO_FILE = ("none", "random")  # explicit choices in place of weights
_WITHOUT = (
    "\nTo do without a data set, ask for a table that does not need it, or name the pairs of "
    "params.yaml to run, as --config 'pairs=[msmt17]'."
)
OTHER_MASKS = "mediapipe_pose"  # the best whose weights a run can fetch (docs/masks.md)


def missing_inputs(
    params: Mapping[str, Any],
    datasets: Iterable[str] | None = None,
    roles: Iterable[str] | None = None,
) -> list[str]:
    """One line for each data set and each file of weights that is not there, and how to get it.

    Weights that a run can fetch by itself stop nothing; where something else is missing they are
    listed too, for whoever has to bring all of it to a machine without a network.

    Args:
        params: all parameters; the present profile's sources are looked at.
        datasets: which; all of the matrix by default.
        roles: which weights; all of the profile by default.
    """
    profile = params["profiles"][params["profile"]]
    chosen = profile["weights"] if roles is None else {r: profile["weights"][r] for r in roles}
    stopping = [*_data(params, datasets), *_to_bring(params, chosen)]
    return [*stopping, *_to_fetch(chosen)] if stopping else []


def _data(params: Mapping[str, Any], datasets: Iterable[str] | None) -> list[str]:
    from crgan.data.prepare import DataSpec, missing_source

    own = params["profiles"][params["profile"]]["data"]
    names = params["matrix"]["datasets"] if datasets is None else datasets
    specs = {name: DataSpec.of(name, {**params["data"][name], **own[name]}) for name in names}
    return [line for name, r in specs.items() if (line := missing_source(name, r))]


def _to_bring(params: Mapping[str, Any], chosen: Mapping[str, Any]) -> list[str]:
    """Weights that no run can fetch: files of one's own, and what only the user can download."""
    from crgan.weights.registry import load_registry, missing

    lines = []
    for role, name in chosen.items():
        if "/" in str(name):
            found = [] if Path(name).is_file() else [f"{name} (weights.{role}) is not there"]
        elif name not in NO_FILE and name not in load_registry():
            known = ", ".join([*load_registry(), *NO_FILE])
            found = [f"{name} (weights.{role}) is not in weights.yaml; use {known}, or a path"]
        elif name not in NO_FILE and (entry := load_registry().get(name)) and entry.bring:
            found = missing([name])
        else:
            continue
        lines += [f"{line} {_other_masks(params)}" if role == "parsing" else line for line in found]
    return lines


def _other_masks(params: Mapping[str, Any]) -> str:
    profile = params["profile"]
    return (
        f"Or take other masks, which the results will name: --config profile={profile} "
        f"'set=[profiles.{profile}.masks.backend={OTHER_MASKS}]' (docs/masks.md compares them)."
    )


def _to_fetch(chosen: Mapping[str, Any]) -> list[str]:
    from crgan.weights.registry import load_registry, missing

    names = [n for n in dict.fromkeys(map(str, chosen.values())) if n not in NO_FILE]
    known = load_registry()
    return missing(n for n in names if n in known and not known[n].bring)


def require(
    params: Mapping[str, Any],
    datasets: Iterable[str] | None = None,
    roles: Iterable[str] | None = None,
) -> None:
    """Raise a `UserError` with all of `missing_inputs`, if there are any."""
    lines = missing_inputs(params, datasets, roles)
    if lines:
        listed = "\n".join(f"  - {line}" for line in lines)
        without = _WITHOUT if _data(params, datasets) else ""
        raise UserError(
            f"profile {params['profile']!r} needs what is not there yet:\n{listed}"
            f"{without}{_of_a_queue()}"
        )


def _of_a_queue() -> str:
    """DVC runs what is queued in a folder of its own, without what Git ignores."""
    parts = Path.cwd().parts
    if parts[-4:-1] != (".dvc", "tmp", "exps"):
        return ""
    return (
        "\nThis is an experiment of DVC's queue, which has no `resources` beside it: run `dvc "
        "repro data` in the project, then queue it again."
    )


def require_for_jobs(
    params: Mapping[str, Any], jobs: Iterable[tuple[str, Mapping[str, str]]]
) -> None:
    """`require` for what these jobs of Snakemake, by rule and wildcards, are going to read, and
    `require_labels`.
    """
    jobs = list(jobs)
    datasets, roles = set(), set()
    for rule, wildcards in jobs:
        if rule == "prepare_data":
            datasets.add(wildcards["dataset"])
        elif rule == "fetch_weights":
            roles.add(wildcards["role"])
    if datasets or roles:
        require(params, sorted(datasets), sorted(roles))
    require_labels(params, jobs)


def missing_for_jobs(
    params: Mapping[str, Any], jobs: Iterable[tuple[str, Mapping[str, str]]]
) -> str:
    """What `require_for_jobs` would say; nothing where all is there."""
    try:
        require_for_jobs(params, jobs)
    except UserError as error:
        return str(error)
    return ""
