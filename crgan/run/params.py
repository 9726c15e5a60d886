"""Parameters: `params.yaml` is the only configuration, and a stage sees only its slice of it.

`SLICES` is the one table that says which keys a stage reads. The stage gets nothing else, so a key
it forgot to list is an error; Snakemake's `params:` and DVC's `params:` come from the same table.
A key under `profiles.{profile}` is laid over the shared section of the same name, which is how a
profile changes scale.
"""

from __future__ import annotations

import copy
import hashlib
import os
from pathlib import Path
from typing import Any

import yaml

from crgan.run.errors import UserError
from crgan.run.io import canonical_json

DEFAULT = Path("params.yaml")
ENVIRONMENT = "CRGAN_PARAMS"  # set by Snakemake when --config changes a value for one run

_IMAGE = ["profiles.{profile}.image.train"]
_RUN = ["profiles.{profile}.run"]
_CNN = [*_IMAGE, *_RUN, "cnn", "profiles.{profile}.cnn"]

SLICES: dict[str, list[str]] = {
    "fetch_weights": ["profiles.{profile}.weights.{role}"],
    "prepare_data": ["profiles.{profile}.image.store", "data.{dataset}", "profiles.{profile}.data.{dataset}"],
    "extract_masks": [*_RUN, "masks", "profiles.{profile}.masks"],
    "pretrain_id": [*_CNN, "pretrain_id", "profiles.{profile}.pretrain_id"],
    "pretrain_cam": [*_IMAGE, *_RUN, "pretrain_cam", "profiles.{profile}.pretrain_cam"],
    "train_gan": [
        *_IMAGE, *_RUN, "loss", "gan", "profiles.{profile}.gan", "methods.{method}.options",
    ],
    "finetune": [*_IMAGE, *_RUN, "finetune", "profiles.{profile}.finetune"],
    "adapt": [*_IMAGE, *_RUN, "methods.{method}.options"],
    "evaluate": [*_IMAGE, *_RUN, "evaluate"],
    "measure_images": [*_IMAGE, *_RUN, "visual", "profiles.{profile}.visual"],
    "draw_datasets": ["profile", "figures"],
    "draw_renderings": ["profile", *_IMAGE, *_RUN, "figures"],
    "draw_rank_lists": [*_IMAGE, *_RUN, "evaluate", "figures"],
    "make_table": ["profile", "matrix", "methods"],
}  # fmt: skip


def load(path: str | Path | None = None) -> dict[str, Any]:
    """Read the parameters from `path`, else from $CRGAN_PARAMS, else from params.yaml."""
    path = Path(path or os.environ.get(ENVIRONMENT) or DEFAULT)
    try:
        params = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such parameter file; run from the project's folder") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    check(params, str(path))
    return params


def check(params: dict[str, Any], origin: str = "params.yaml") -> None:
    """Refuse unknown or missing sections, profiles, methods and data sets, by name."""
    if not isinstance(params, dict) or "profiles" not in params:
        raise UserError(f"{origin}: no section 'profiles'; restore it from the repository")
    if params.get("profile") not in params["profiles"]:
        known = ", ".join(params["profiles"])
        raise UserError(f"{origin}: profile is {params.get('profile')!r}; known profiles: {known}")
    for group in ("gan", "adapt"):
        for cell in params["matrix"][group]:
            if cell["method"] not in params["methods"]:
                raise UserError(
                    f"{origin}: matrix.{group} names method {cell['method']!r}, "
                    "which has no entry under 'methods'"
                )
            for role in ("source", "target"):
                if cell[role] not in params["data"]:
                    raise UserError(
                        f"{origin}: matrix.{group} has {role} {cell[role]!r}, "
                        f"which has no entry under 'data' ({', '.join(params['data'])})"
                    )
    banned = {"size", "nfiles"} & set(_all_keys(params))
    if banned:  # DVC's run cache ignores parameters of these names (treeverse/dvc#10296)
        raise UserError(f"{origin}: rename the key {sorted(banned)[0]!r}; DVC overlooks that name")


def keys_of(stage: str, **cell: Any) -> list[str]:
    """The dotted keys `stage` may read; `cell` fills {method}, {dataset} and {profile}."""
    if stage not in SLICES:
        raise UserError(f"no stage {stage!r}; stages: {', '.join(SLICES)}")
    return [key.format(**cell) for key in SLICES[stage]]


def slice_of(stage: str, params: dict[str, Any], **cell: Any) -> dict[str, Any]:
    """What `stage` sees: {section: values}, with the profile's values laid over the shared ones.

    `data.{dataset}` becomes section `data`, `methods.{method}.options` section `options`; other
    keys keep their path. An option named like a key of `loss` or `gan` replaces it there: that is
    what an ablation is.
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
        homes = [s for s in ("loss", "gan") if name in result.get(s, {})]
        if not homes and stage == "train_gan":
            raise UserError(f"methods.{cell['method']}.options.{name}: no such key in loss or gan")
        for home in homes:
            result[home][name] = value
    return result


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON: the identity of a parameter slice."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def override(params: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    """A copy with `a.b=value` settings applied; an unknown key is an error."""
    params = copy.deepcopy(params)
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator:
            raise UserError(f"{setting!r}: write key=value, for example loss.lambda_con=5")
        _get(params, key)
        *path, last = key.split(".")
        home = params
        for part in path:
            home = home[part]
        home[last] = yaml.safe_load(text)
    check(params, "the command line")
    return params


def _place(key: str) -> list[str]:
    """Where a key's value stands in the slice."""
    parts = key.split(".")
    if parts[0] == "profiles":
        parts = parts[2:]
    if parts[0] == "methods" and parts[-1] == "options":
        return ["options"]
    if parts[0] in ("data", "weights"):  # one data set's, one role's: the cell says whose
        return parts[:1]
    return parts


def _get(params: dict[str, Any], key: str) -> Any:
    value: Any = params
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise UserError(f"params.yaml: no key {key!r} (missing at {part!r})")
        value = value[part]
    return {} if value is None else value


def _all_keys(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [str(k) for k in value] + [k for v in value.values() for k in _all_keys(v)]
    return []
