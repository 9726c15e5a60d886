"""What decides an output besides its inputs' contents: parameters, code, wiring, files, raw data.

One answer for all who ask: the stage that writes it into its record, the auditor that compares, and
the rule that tells Snakemake.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from crgan.common.paths import expanded, is_address
from crgan.common.project import project_file
from crgan.common.yaml import parse
from crgan.pipeline import raw
from crgan.pipeline.code import METHOD_FOLDER, code_digest, code_of
from crgan.pipeline.hashes import Hashes
from crgan.pipeline.params import SLICES, slice_of

GENERATED = "generated"

# Where the matrix says which method's file a cell runs, and what it starts from or renders with.
_RANKED = ("gan", "adapt", "rendered", "handcrafted")
GROUPS: dict[str, tuple[str, ...]] = {
    "train_gan": ("gan",),
    "train_translation": ("translators",),
    "render_set": ("rendered",),
    "finetune": ("gan",),
    "adapt": ("adapt",),
    "handcraft": ("handcrafted",),
    "evaluate": _RANKED,
    "select": _RANKED,
    "draw_rank_lists": _RANKED,
    "measure_images": ("visual",),
    "judge_images": ("visual",),
}
_WIRES = ("model", "start", "gan")


def identity_of(
    stage: str,
    params: Mapping[str, Any],
    cell: Mapping[str, Any],
    hashes: Hashes,
    known: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The part of a record that says what a job would compute, read off the present project.

    Args:
        params: all parameters, of the cell's profile.
        cell: axes by name, `profile` among them or not.
        hashes: remembered contents of files.
        known: an earlier record of the job. Raw data and named files that are no longer there
            (deleted to save space, or left behind by a fresh clone) are taken to be as it says.

    Returns:
        `stage`, `params`, `code_sha256` and, where there are any, `wiring`, `files` and `raw`.
    """
    known = known or {}
    axes = {name: value for name, value in cell.items() if name != "profile"}
    own = slice_of(stage, dict(params), **axes)
    result: dict[str, Any] = {
        "stage": stage,
        "params": own,
        "code_sha256": code_digest(code_behind(stage, axes, own)),
    }
    wiring = _wiring(stage, params["matrix"], axes) or known.get("wiring")
    if wiring:
        result["wiring"] = wiring
    files = {name: hashes.of(expanded(name)) for name in named_files(stage, own)}
    files |= {n: h for n, h in known.get("files", {}).items() if n not in files and not _there(n)}
    if files:
        result["files"] = files
    if stage == "prepare_data":
        found = raw_data(own["data"], known.get("raw"))
        if found:
            result["raw"] = found
    return result


def entry_of(stage: str, matrix: Mapping[str, Any], cell: Mapping[str, Any]) -> dict[str, Any]:
    """The line of the matrix that a cell of `stage` stands for; empty where it has none."""
    for group in GROUPS.get(stage, ()):
        for entry in matrix[group]:
            axes = [axis for axis in ("method", "a", "b", "source", "target") if axis in entry]
            if all(cell.get(axis) == entry[axis] for axis in axes):
                return dict(entry)
    return {}


def _wiring(stage: str, matrix: Mapping[str, Any], cell: Mapping[str, Any]) -> dict[str, str]:
    entry = entry_of(stage, matrix, cell)
    return {name: entry[name] for name in _WIRES if name in entry}


def code_behind(stage: str, cell: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """The source files that count for a cell, by its parameters too."""
    files = code_of(stage, model_of(stage, cell, own))
    if stage == "prepare_data" and own["data"].get("source") != GENERATED:
        return [name for name in files if not name.startswith("crgan/synth/")]
    return files


def model_of(stage: str, cell: Mapping[str, Any], own: Mapping[str, Any]) -> str | None:
    """The method file of a cell: one of its axes, or, for data and masks, a parameter."""
    if stage == "prepare_data":
        return str(own["data"]["layout"])
    if stage == "extract_masks":
        return str(own["masks"]["backend"])
    return cell.get("model") if stage in METHOD_FOLDER else None


def named_files(stage: str, own: Mapping[str, Any]) -> list[str]:
    """Every file that a stage's parameters name and that is there, sorted; the source of a data set
    apart, which is raw data.
    """
    values = dict(own)
    if stage == "prepare_data":
        values["data"] = {k: v for k, v in own["data"].items() if k != "source"}
    return files_in([values, brought(own.get("weights")) if stage == "fetch_weights" else None])


def brought(weight: Any) -> str | None:
    """The file of a weight that only the user can bring, which weights.yaml knows by no hash."""
    entries = parse(project_file("weights.yaml").read_text(encoding="utf-8"))
    entry = entries.get(weight) if isinstance(weight, str) else None
    if not isinstance(entry, Mapping) or "bring" not in entry or entry.get("tensors_sha256"):
        return None
    return f"resources/weights/{entry.get('file')}"


def files_in(values: Any) -> list[str]:
    """Every text in parameters, however deep, that names a file, sorted."""
    return sorted({text for text in _texts(values) if _there(text)})


def axes_are_known(stage: str, cell: Any) -> bool:
    """Whether a stage's name and a cell could stand in a record of ours. Records travel, so what
    they say is checked before it is used in a path or a command.
    """
    return (
        stage in SLICES
        and isinstance(cell, dict)
        and all(
            isinstance(value, int) or (isinstance(value, str) and _plain(value))
            for value in cell.values()
        )
    )


def _plain(name: str) -> bool:
    return name[:1].isalnum() and all(c.isdigit() or "a" <= c <= "z" or c in "_-" for c in name)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for entry in value.values():
            yield from _texts(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry)
    elif isinstance(value, str):
        yield value


def _there(name: str) -> bool:
    try:
        return not is_address(name) and os.path.isfile(expanded(name))
    except ValueError:  # a NUL among its letters
        return False


def raw_data(values: Mapping[str, Any], known: str | None = None) -> str | None:
    """A digest of the names and contents of a data set's raw files: `known` where they are not
    there, None where there are none to look at (generated, or at an address).
    """
    source = str(values.get("source", GENERATED))
    if source == GENERATED or is_address(source):
        return None
    return raw.contents(source) if os.path.exists(expanded(source)) else known
