"""Parameters: `params.yaml` is the only configuration, and a stage sees only its slice of it.

`load` reads the file, refuses what is wrong in it, and resolves what it leaves unsaid: the cells of
the matrix from the list of methods (`crgan.pipeline.matrix`), and values that a section takes from
the one it is laid over. What it returns can be written down and loaded again, which is how the jobs
of a run read the parameters it began with.

`SLICES` is the one table that says which keys a stage reads. The stage gets nothing else, so a key
it forgot to list is an error. A key under `profiles.{profile}` is laid over the shared section of
the same name, which is how a profile changes scale.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from crgan.common.errors import UserError
from crgan.common.io import atomic_path, canonical_json, require_regular
from crgan.common.yaml import parse
from crgan.pipeline.resolve import resolve

DEFAULT = Path("params.yaml")
ENVIRONMENT = "CRGAN_PARAMS"  # set by Snakemake: the parameters as they were when its run began
SNAPSHOTS = Path(".scratch/params")

_IMAGE = ["profiles.{profile}.image.train"]
_RUN = ["profiles.{profile}.run"]
_TRAINING = ["run", *_RUN]  # how many processes, in which precision: of the jobs that train
_OPTIONED = (
    "loss",
    "gan",
    "translation",
    "adaptation",
    "handcrafted",
)  # sections whose keys a method's options replace
_CNN = [*_IMAGE, *_RUN, "cnn", "profiles.{profile}.cnn"]

SLICES: dict[str, list[str]] = {
    "fetch_weights": ["profiles.{profile}.weights.{role}"],
    "prepare_data": [
        "profiles.{profile}.image.store", "data.{dataset}", "profiles.{profile}.data.{dataset}",
    ],
    "extract_masks": [*_RUN, "masks", "profiles.{profile}.masks"],
    "pretrain_id": ["run", *_CNN, "pretrain_id", "profiles.{profile}.pretrain_id"],
    "pretrain_cam": [*_IMAGE, *_TRAINING, "pretrain_cam", "profiles.{profile}.pretrain_cam"],
    "train_gan": [
        *_IMAGE, *_TRAINING, "loss", "gan", "profiles.{profile}.gan", "methods.{method}.options",
    ],
    "train_translation": [
        *_IMAGE, *_TRAINING, "cyclegan", "translators.{model}", "profiles.{profile}.cyclegan",
        "profiles.{profile}.translators.{model}", "methods.{method}.options",
    ],
    "render_set": [*_IMAGE, *_RUN, "render_set"],
    "finetune": [*_IMAGE, *_TRAINING, "finetune", "profiles.{profile}.finetune"],
    "fresh_cnn": [*_IMAGE, *_RUN, "cnn", "profiles.{profile}.cnn"],
    "adapt": [
        *_IMAGE, *_RUN, "adaptation.{model}", "profiles.{profile}.adaptation.{model}",
        "methods.{method}.options",
    ],
    "handcraft": [
        *_RUN, "handcrafted.{model}", "profiles.{profile}.handcrafted.{model}",
        "methods.{method}.options",
    ],
    "evaluate": [*_IMAGE, *_RUN, "evaluate"],
    "select": [*_RUN, "evaluate", "selection"],
    "measure_images": [*_IMAGE, *_RUN, "visual", "profiles.{profile}.visual"],
    "train_judges": [
        *_CNN, "pretrain_id", "profiles.{profile}.pretrain_id", "pretrain_cam",
        "profiles.{profile}.pretrain_cam", "judges", "profiles.{profile}.judges",
    ],
    "judge_images": [*_IMAGE, *_RUN, "judges", "profiles.{profile}.judges"],
    "draw_datasets": ["profile", "figures"],
    "draw_renderings": ["profile", *_IMAGE, *_RUN, "figures"],
    "draw_methods": ["profile", *_IMAGE, *_RUN, "figures", "matrix.visual", "methods"],
    "draw_rank_lists": [*_IMAGE, *_RUN, "evaluate", "figures"],
    "tabulate_renderings": ["profile", "matrix.seeds", "methods"],
    "tabulate_cmc": ["profile", "matrix.seeds", "methods", "beyond"],
    "make_table": ["profile", "matrix.seeds", "methods", "beyond", "chosen"],
    "bound_table": ["profile", "matrix.seeds", "methods", "beyond", "chosen", "intervals"],
    "tabulate_all": ["profile", "matrix.seeds", "methods", "chosen"],
    "weigh_claims": ["profile", "matrix.seeds", "methods", "chosen", "intervals"],
}  # fmt: skip


def load(path: str | Path | None = None, settings: Sequence[str] = ()) -> dict[str, Any]:
    """The parameters of `path`, else of $CRGAN_PARAMS, else of params.yaml: checked and resolved.

    Args:
        settings: `a.b=value` to lay over the file, before it is resolved.

    Raises:
        UserError: naming file, key, value and mend, before anything has run.
    """
    path = Path(path or os.environ.get(ENVIRONMENT) or DEFAULT)
    require_regular(path)
    try:
        raw = parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such parameter file; run from the project's folder") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    if settings:
        raw = _laid_over(raw, settings)
    origin = f"{path} with {', '.join(settings)}" if settings else str(path)
    # What `snapshot` wrote was checked by the run that wrote it: its name is its digest.
    return resolve(raw, origin, checked=path.parent == SNAPSHOTS and _is_snapshot(path, raw))


def _is_snapshot(path: Path, params: Any) -> bool:
    return isinstance(params, dict) and path.name == snapshot_path(params).name


def with_profile(params: Mapping[str, Any], profile: str) -> dict[str, Any]:
    """The same parameters under another profile.

    Raises:
        UserError: no such profile.
    """
    return resolve({**params, "profile": profile}, DEFAULT.name)


def keys_of(stage: str, **cell: Any) -> list[str]:
    """The dotted keys `stage` may read; `cell` fills {method}, {dataset} and {profile}."""
    if stage not in SLICES:
        raise UserError(f"no stage {stage!r}; stages: {', '.join(SLICES)}")
    return [key.format(**cell) for key in SLICES[stage]]


def slice_of(stage: str, params: dict[str, Any], **cell: Any) -> dict[str, Any]:
    """What `stage` sees: {section: values}, with the profile's values laid over the shared ones.

    `data.{dataset}` becomes section `data`, `methods.{method}.options` section `options`;
    `cyclegan` and `translators.{model}` are one section `translation`; other keys keep their path.
    An option named like a key of `loss`, `gan` or `translation` replaces it there: that is what an
    ablation is.
    """
    cell = {"profile": params["profile"], **cell}
    result: dict[str, Any] = {}
    for key in keys_of(stage, **cell):
        value = copy.deepcopy(_get(params, key))
        *path, last = _place(key)
        home = result
        for part in path:
            home = home.setdefault(part, {})
        if isinstance(value, dict) and isinstance(home.get(last), dict):
            home[last].update(value)
        else:
            home[last] = value
    for name, value in (result.get("options") or {}).items():
        sections = [s for s in _OPTIONED if name in result.get(s, {})]
        for section in sections:
            result[section][name] = value
    return result


def canonical(value: Any) -> Any:
    """A value with whole floats as integers: 5 and 5.0 are one parameter, however it was typed."""
    if isinstance(value, dict):
        return {key: canonical(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(entry) for entry in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON: the identity of a parameter slice."""
    return hashlib.sha256(canonical_json(canonical(value)).encode()).hexdigest()


def _laid_over(raw: Any, settings: Sequence[str]) -> dict[str, Any]:
    """A copy with `a.b=value` settings in it; a section that is not there is an error."""
    raw = copy.deepcopy(raw)
    for setting in settings:
        key, separator, text = str(setting).partition("=")
        if not separator or not re.fullmatch(r"[\w.-]+", key):
            raise UserError(
                f"{setting!r}: write key=value, for example loss.lambda_con=5; where the value has "
                "brackets, in quotes: --config 'set=[\"seeds=[0, 1]\"]'"
            )
        *path, last = key.split(".")
        home = raw
        for part in path:
            if part == "options" and isinstance(home, dict):  # of a method that had none
                home.setdefault(part, {})
            if not isinstance(home, dict) or not isinstance(home.get(part), dict):
                known = ", ".join(map(str, home)) if isinstance(home, dict) else "no keys"
                raise UserError(f"{setting!r}: no section {part!r}; there are {known}")
            home = home[part]
        home[last] = parse(text, repr(setting))
    return dict(raw)


def effective(config: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of one Snakemake run: params.yaml under what `--config` asks for.

    Args:
        config: Snakemake's; `profile=NAME`, `pairs=[NAME, ...]` and `set=[a.b=value, ...]` are the
            keys it may hold.
    """
    unknown = sorted(set(config) - {"profile", "pairs", "set"}, key=str)
    if unknown:
        raise UserError(
            f"--config {unknown[0]}=...: unknown; write --config profile=paper 'pairs=[msmt17]', "
            "or --config 'set=[loss.lambda_con=5]' for any key of params.yaml"
        )
    given = config.get("set", [])
    settings = [given] if isinstance(given, str) else given
    if not isinstance(settings, list) or not all(isinstance(s, str) for s in settings):
        raise UserError(f"--config set={given!r}: write --config 'set=[loss.lambda_con=5]'")
    if "pairs" in config:
        pairs = config["pairs"] if isinstance(config["pairs"], list) else [config["pairs"]]
        settings = [f"run_pairs={json.dumps(list(map(str, pairs)))}", *settings]
    if "profile" in config:
        settings = [f"profile={config['profile']}", *settings]
    return load(DEFAULT, settings)


def snapshot_path(params: Mapping[str, Any]) -> Path:
    """Where `snapshot` writes these parameters."""
    return SNAPSHOTS / f"{digest(params)[:16]}.yaml"


def snapshot(params: Mapping[str, Any]) -> Path:
    """Write the parameters of a run where its jobs read them, whatever happens to params.yaml."""
    path = snapshot_path(params)
    if not path.is_file():
        with atomic_path(path) as temporary:
            temporary.write_text(yaml.safe_dump(dict(params), sort_keys=False))
    return path


def _place(key: str) -> list[str]:
    """Where a key's value stands in the slice."""
    parts = key.split(".")
    if parts[0] == "profiles":
        parts = parts[2:]
    if parts[0] == "methods" and parts[-1] == "options":
        return ["options"]
    if parts[0] in ("cyclegan", "translators"):
        return ["translation"]
    # one data set's, one role's, one method's: the cell says whose
    if parts[0] in ("data", "weights", "adaptation", "handcrafted"):
        return parts[:1]
    return parts


def _get(params: dict[str, Any], key: str) -> Any:
    value: Any = params
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise UserError(f"params.yaml: no key {key!r} (missing at {part!r})")
        value = value[part]
    return {} if value is None else value
