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
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from crgan.common.errors import UserError
from crgan.common.io import atomic_path, canonical_json

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
    "tabulate_cmc": ["profile", "matrix.seeds", "methods"],
    "make_table": ["profile", "matrix.seeds", "methods", "chosen"],
    "bound_table": ["profile", "matrix.seeds", "methods", "chosen", "intervals"],
    "weigh_claims": ["profile", "matrix.seeds", "methods", "chosen", "intervals"],
}  # fmt: skip


def load(path: str | Path | None = None) -> dict[str, Any]:
    """Read the parameters from `path`, else from $CRGAN_PARAMS, else from params.yaml."""
    path = Path(path or os.environ.get(ENVIRONMENT) or DEFAULT)
    try:
        params = parse(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such parameter file; run from the project's folder") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    check(params, str(path))
    return params


# PyYAML's wheels bring libyaml, which reads eight times as fast; a build without it lacks the name.
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):
    """YAML as DVC reads it (1.2): `1e-4` is a number, and only true and false are booleans."""


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:bool"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def parse(text: str) -> Any:
    """A YAML text, read as DVC reads it."""
    return yaml.load(text, _Loader)


def check(params: dict[str, Any], origin: str = "params.yaml") -> None:
    """Refuse unknown or missing sections, profiles, methods and data sets, by name."""
    if not isinstance(params, dict) or "profiles" not in params:
        raise UserError(f"{origin}: no section 'profiles'; restore it from the repository")
    if params.get("profile") not in params["profiles"]:
        known = ", ".join(params["profiles"])
        raise UserError(f"{origin}: profile is {params.get('profile')!r}; known profiles: {known}")
    _check_matrix(params, origin)
    for entry in params.get("chosen") or []:
        for name in entry["methods"]:
            if name not in params["methods"]:
                raise UserError(f"{origin}: chosen has method {name!r}, which methods lacks")
    banned = {"size", "nfiles"} & set(_all_keys(params))
    if banned:  # DVC's run cache ignores parameters of these names (treeverse/dvc#10296)
        raise UserError(f"{origin}: rename the key {sorted(banned)[0]!r}; DVC overlooks that name")


def _check_matrix(params: dict[str, Any], origin: str) -> None:
    matrix = params["matrix"]
    known: dict[str, tuple[Any, str]] = {
        "method": (params["methods"], "methods"),
        "a": (matrix["datasets"], "matrix.datasets"),
        "b": (matrix["datasets"], "matrix.datasets"),
        "source": (matrix["sources"], "matrix.sources"),
        "target": (matrix["targets"], "matrix.targets"),
    }
    for axis in ("datasets", "sources", "targets"):
        for name in matrix[axis]:
            if name not in params["data"] or name not in matrix["datasets"]:
                lacking = "data" if name not in params["data"] else "matrix.datasets"
                raise UserError(f"{origin}: matrix.{axis} has {name!r}, which {lacking} lacks")
    groups = (
        "gan",
        "adapt",
        "rendered",
        "handcrafted",
        "visual",
        "judges",
        "renderings",
        "selected",
    )
    for group in (*groups, "translators"):
        if group not in matrix:
            raise UserError(f"{origin}: no matrix.{group}; write `{group}: []` for no cell")
    for group, start, end in [
        *((g, "source", "target") for g in groups),
        ("translators", "a", "b"),
    ]:
        for cell in matrix[group]:
            for key, (entries, place) in known.items():
                if key in cell and cell[key] not in entries:
                    raise UserError(
                        f"{origin}: matrix.{group} has {key} {cell[key]!r}, which {place} lacks"
                    )
            if cell[start] == cell[end]:
                raise UserError(f"{origin}: matrix.{group}: {cell[start]!r} is {start} and {end}")
    _check_trained(matrix, origin)


def _check_trained(matrix: dict[str, Any], origin: str) -> None:
    """Each re-id cell is in one group, what shows or stores renderings has a GAN, and what adapts
    a CNN starts from one that is there.
    """
    homes: dict[tuple[str, str, str], str] = {}
    for group in ("gan", "adapt", "rendered", "handcrafted"):
        for cell in matrix[group]:
            key = cell_key(cell)
            if homes.setdefault(key, group) != group:
                raise UserError(
                    f"{origin}: {' '.join(key)} stands in matrix.{homes[key]} and matrix.{group}"
                )
    gans = {}
    for c in (*matrix["gan"], *matrix["translators"]):
        start, end = c.get("source", c.get("a")), c.get("target", c.get("b"))
        ways = [(start, end), (end, start)] if "a" in c else [(start, end)]
        gans[f"{c['method']}/{start}-{end}"] = [(c["model"], *way) for way in ways]
    for group in ("rendered", "visual"):
        for cell in matrix[group]:
            needed = (cell["model"], cell["source"], cell["target"])
            if needed not in gans.get(cell["gan"], []):
                raise UserError(
                    f"{origin}: matrix.{group} has {' '.join(cell_key(cell))} with gan "
                    f"{cell['gan']!r} of model {cell['model']!r}, which matrix.gan and "
                    "matrix.translators lack"
                )
    for cell in matrix["visual"]:
        pair = {"source": cell["source"], "target": cell["target"]}
        if pair not in matrix["judges"]:
            raise UserError(
                f"{origin}: matrix.visual has {' '.join(cell_key(cell))}, and matrix.judges lacks "
                "judges of that direction"
            )
    for cell in matrix["selected"]:
        if homes.get(cell_key(cell), "handcrafted") == "handcrafted":
            raise UserError(
                f"{origin}: matrix.selected has {' '.join(cell_key(cell))}, which is no cell of a "
                "re-id CNN in matrix.gan, adapt or rendered"
            )
    starts = {f"d_id/{source}" for source in matrix["sources"]} | {"fresh"}
    starts |= {f"reid/{'{}/{}-{}'.format(*key)}" for key in homes if homes[key] != "handcrafted"}
    for cell in matrix["adapt"]:
        own = f"reid/{'{}/{}-{}'.format(*cell_key(cell))}"
        if cell["start"] not in starts - {own}:
            raise UserError(
                f"{origin}: matrix.adapt has {' '.join(cell_key(cell))} with start "
                f"{cell['start']!r}; use fresh, d_id/<source> or reid/<method>/<source>-<target>"
            )


def cell_key(cell: Mapping[str, Any]) -> tuple[str, str, str]:
    """What identifies a cell of the matrix: method, source, target."""
    return cell["method"], cell["source"], cell["target"]


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
        if not sections and any(s in result for s in _OPTIONED):
            places = " or ".join(s for s in _OPTIONED if s in result)
            raise UserError(f"methods.{cell['method']}.options.{name}: no such key in {places}")
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


def override(params: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    """A copy with `a.b=value` settings applied; an unknown key is an error."""
    params = copy.deepcopy(params)
    for setting in settings:
        key, separator, text = str(setting).partition("=")
        if not separator:
            raise UserError(f"{setting!r}: write key=value, for example loss.lambda_con=5")
        _get(params, key)
        *path, last = key.split(".")
        home = params
        for part in path:
            home = home[part]
        home[last] = parse(text)
    check(params, "the command line")
    return params


def effective(config: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of one Snakemake run: params.yaml under what `--config` asks for.

    Args:
        config: Snakemake's; `profile=NAME` and `set=[a.b=value, ...]` are the keys it may hold.
    """
    unknown = sorted(set(config) - {"profile", "set"})
    if unknown:
        raise UserError(
            f"--config {unknown[0]}=...: unknown; write --config profile=paper, or "
            "--config 'set=[loss.lambda_con=5]' for any key of params.yaml"
        )
    settings = config.get("set", [])
    settings = [settings] if isinstance(settings, str) else list(settings)
    if "profile" in config:
        settings = [f"profile={config['profile']}", *settings]
    params = load(DEFAULT)
    return override(params, settings) if settings else params


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


def _all_keys(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [str(k) for k in value] + [k for v in value.values() for k in _all_keys(v)]
    return []
