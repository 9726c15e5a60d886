"""What params.yaml leaves unsaid, said: the matrix, and values that sections take from others."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crgan.common.errors import UserError
from crgan.common.paths import expanded, is_address
from crgan.common.settings import settings_from
from crgan.pipeline.declared import declared
from crgan.pipeline.matrix import (
    check_label,
    check_matrix,
    check_name,
    check_pairs,
    check_seeds,
    expand,
    methods_from,
    pairs_from,
)
from crgan.pipeline.places import AS_IT_IS
from crgan.pipeline.sections import (
    FOLDERS,
    RECIPE,
    SECTIONS,
    check_models,
    check_sections,
    keys_of_declared,
    mask_backends,
    mask_options,
    options_of,
)

SHARED = (*SECTIONS, "pretrain_id", "cyclegan", *FOLDERS, "masks", "figures", "data")
SCALED = (*SHARED, "image", "weights")
WRITTEN = (
    "profile",
    "seeds",
    "pairs",
    "run_pairs",
    "methods",
    *SHARED,
    "chosen",
    "records",
    "profiles",
)
RESOLVED = ("profile", "matrix", "methods", "beyond", *SHARED, "chosen", "records", "profiles")
_UNSAID = re.compile(r"\A~|(\A|/)\$")
PROTOCOL = ("records", "loss", "render_set", "evaluate", "selection", "intervals", "figures")
"""Sections that no profile may change."""


@dataclass(frozen=True)
class Shown:
    """A method as the stages see it."""

    label: str
    options: Mapping[str, Any]
    uses: tuple[str, ...]


@dataclass(frozen=True)
class Chosen:
    """A choice made with labels of a test set in sight: the methods it touches, what, and how."""

    methods: tuple[str, ...]
    what: str
    how: str


def resolve(raw: Any, origin: str, *, checked: bool = False) -> dict[str, Any]:
    """The parameters as every stage sees them, from params.yaml or from what this returned before.

    Sections take what they do not say: methods on features, and the fine-tuning, of `cnn`'s recipe
    what their dataclass declares; a hand-crafted system that extends another's dataclass, of that
    one; a profile, of the shared sections (where a slice is taken). A `~` that begins a text, or a
    `$NAME` in a path, is the folder it means.

    Args:
        origin: the file, for messages.
        checked: it comes from here and was written down, so nothing is looked at again.

    Raises:
        UserError: naming key, value and mend.
    """
    if not isinstance(raw, Mapping):
        raise UserError(f"{origin}: holds no parameters; restore it from the repository")
    if checked:
        return dict(raw)
    params = _folders(copy.deepcopy(dict(raw)), origin, "")
    _check_profiles(params, origin)
    whole = "matrix" in params
    if whole and not isinstance(params["matrix"], Mapping):
        raise UserError(
            f"{origin}: matrix is {params['matrix']!r}; leave it out: methods and pairs make it"
        )
    _check_keys(params, RESOLVED if whole else WRITTEN, origin)
    for name in SHARED:
        if not isinstance(params.setdefault(name, {}), Mapping):
            raise UserError(f"{origin}: {name} is {params[name]!r}; it must be keys and values")
    for name, profile in params["profiles"].items():
        _check_keys(profile, SCALED, f"{origin}: profiles.{name}")
        for section in PROTOCOL:
            if section in profile:
                raise UserError(
                    f"{origin}: profiles.{name}.{section}: a profile changes scale only"
                )
    for name in params["data"]:
        check_name(name, "data", origin)
    if not whole:
        _expand(params, origin)
    _check_beyond(params.get("beyond"), origin)
    _check_methods(params, origin)
    check_matrix(params, origin)
    check_models(params, origin)
    _lay_over(params, origin)
    check_sections(params, origin)
    for name in params["selection"].get("held_out", ()):
        check_name(name, "selection.held_out", origin)
    _check_banned(params, origin, "")
    return params


def _check_profiles(params: Mapping[str, Any], origin: str) -> None:
    profiles = params.get("profiles")
    if not isinstance(profiles, Mapping):
        raise UserError(f"{origin}: no section 'profiles'; restore it from the repository")
    for name, profile in profiles.items():
        check_name(name, "profiles", origin)
        if not isinstance(profile, Mapping) or not isinstance(profile.get("data"), Mapping):
            raise UserError(f"{origin}: profiles.{name} has no section data")
    wanted = params.get("profile")
    if not isinstance(wanted, str) or wanted not in profiles:
        raise UserError(
            f"{origin}: profile is {wanted!r}; known profiles: {', '.join(map(str, profiles))}"
        )


def _check_keys(values: Mapping[Any, Any], known: tuple[str, ...], where: str) -> None:
    for key in values:
        if key not in known:
            raise UserError(f"{where}: no section {key!r}; there are {', '.join(known)}")


def _expand(params: dict[str, Any], origin: str) -> None:
    """`methods`, `pairs` and `seeds` become the matrix, the methods' names and their own rows."""
    methods = methods_from(params["methods"], origin)
    pairs = pairs_from(params.pop("pairs", {}), params["data"], origin)
    wanted = params.pop("run_pairs", list(pairs))
    seeds = params.pop("seeds", [0])
    check_seeds(seeds, origin)
    known = [
        name for name in params["data"] if name in params["profiles"][params["profile"]]["data"]
    ]
    check_pairs(wanted, pairs, known, f"{origin}: run_pairs")
    params["matrix"] = expand(methods, pairs, seeds, known, origin, wanted)
    params["methods"] = {
        name: {"label": m.label, "options": dict(m.options), "uses": list(m.uses)}
        for name, m in methods.items()
    }
    params["beyond"] = _beyond(methods)
    chosen = params.get("chosen")
    if isinstance(chosen, Mapping):  # named, so that no comment is lost when DVC writes the file
        params["chosen"] = list(chosen.values())


def _beyond(methods: Mapping[str, Any]) -> dict[str, list[str]]:
    """{number of a table: names of its rows that the paper lacks}."""
    found: dict[str, list[str]] = {}
    for method in methods.values():
        for row in method.beyond:
            table, plus, what = row.removeprefix("table").partition("+")
            found.setdefault(table, []).append(f"{method.label}{plus}{what}")
    return dict(sorted(found.items()))


def _check_beyond(beyond: Any, origin: str) -> None:
    """Of parameters that were resolved and written down; those of params.yaml name no table."""
    if not isinstance(beyond, Mapping) or not all(
        str(table) in "1234567" and isinstance(rows, list) and all(isinstance(r, str) for r in rows)
        for table, rows in beyond.items()
    ):
        raise UserError(f"{origin}: beyond is {beyond!r}; leave it out: lines of methods make it")


def _check_methods(params: dict[str, Any], origin: str) -> None:
    labels: dict[str, str] = {}
    if not isinstance(params["methods"], Mapping):
        raise UserError(f"{origin}: methods is {params['methods']!r}; it must have methods by name")
    for name, entry in params["methods"].items():
        check_name(name, "methods", origin)
        shown = settings_from(Shown, entry, f"{origin}: methods.{name}")
        check_label(shown.label, f"methods.{name}.label", origin)
        if shown.label in labels:
            raise UserError(
                f"{origin}: methods.{labels[shown.label]} and methods.{name} both have the label "
                f"{shown.label!r}; a row of a table must mean one method"
            )
        labels[shown.label] = name
    chosen = params.setdefault("chosen", [])
    if not isinstance(chosen, list):
        raise UserError(f"{origin}: chosen is {chosen!r}; it must have a name for each choice")
    for entry in chosen:
        for name in settings_from(Chosen, entry, f"{origin}: chosen").methods:
            if name not in params["methods"]:
                raise UserError(f"{origin}: chosen has method {name!r}, which methods lacks")


def _lay_over(params: dict[str, Any], origin: str) -> None:
    """Fill in sections of models that say nothing, then what sections take from one another."""
    matrix = params["matrix"]
    groups = {"translators": "translators", "adaptation": "adapt", "handcrafted": "handcrafted"}
    for section, group in groups.items():
        cells = (c["model"] for c in matrix[group] if c["model"] != AS_IT_IS)
        models = dict.fromkeys([*(params[section] or {}), *cells])
        for home in (params, *params["profiles"].values()):
            own = home.get(section) or {}
            if not isinstance(own, Mapping):
                raise UserError(f"{origin}: {section} is {own!r}; it must have sections by model")
            if unknown := set(own) - set(models):
                options_of(section, min(map(str, unknown)), origin)
            home[section] = {m: own[m] if own.get(m) is not None else {} for m in [*own, *models]}
    for profile in params["profiles"].values():
        for section in ("pretrain_id", "cnn", "run"):
            profile.setdefault(section, {})
        _fill_parsing(params["masks"], profile)
    cnn = params["cnn"]
    recipe = {k: cnn[k] for k in RECIPE if k in cnn} if isinstance(cnn, Mapping) else {}
    finetune = keys_of_declared(_finetune())
    params["finetune"] = _over(recipe, finetune, params["finetune"])
    for model, own in params["adaptation"].items():
        keys = keys_of_declared(options_of("adaptation", model, origin))
        params["adaptation"][model] = _over(recipe, keys, own)
    for model in params["handcrafted"]:
        for base in reversed(options_of("handcrafted", model, origin).__mro__[1:]):
            below = base.__module__.rpartition(".")[2]
            if below in params["handcrafted"] and below != model:
                for home in (params, *params["profiles"].values()):
                    sections = home["handcrafted"]
                    sections[model] = _over(sections[below], None, sections[model])


def _fill_parsing(shared: Mapping[str, Any], profile: Mapping[str, Any]) -> None:
    """The weights that the profile's mask backend reads, where it names no others."""
    masks, weights = profile.get("masks"), profile.get("weights")
    if isinstance(masks, Mapping) and isinstance(weights, dict) and "parsing" not in weights:
        backend = masks.get("backend", shared.get("backend"))
        if backend in mask_backends():
            weights["parsing"] = getattr(mask_options(backend), "weights", "none")


def _finetune() -> type:
    found = declared(*SECTIONS["finetune"])
    assert found is not None
    return found


def _over(below: Any, keys: Any, own: Any) -> Any:
    if not isinstance(below, Mapping) or not isinstance(own, Mapping):
        return own  # which the check refuses, by name
    return {k: v for k, v in below.items() if keys is None or k in keys} | dict(own)


def _folders(value: Any, origin: str, key: str) -> Any:
    if isinstance(value, Mapping):
        for k in value:
            if not isinstance(k, str):
                where = f" in {key}" if key else ""
                raise UserError(f"{origin}: the key {k!r}{where} is no text; put it in quotes")
        return {k: _folders(v, origin, f"{key}.{k}".lstrip(".")) for k, v in value.items()}
    if isinstance(value, list):
        return [_folders(entry, origin, key) for entry in value]
    if value is not None and not isinstance(value, bool | int | float | str):
        raise UserError(f"{origin}: {key} is {value!r}; a text that looks so must be in quotes")
    if not isinstance(value, str) or is_address(value) or not _UNSAID.search(value):
        return value
    found = expanded(value)
    if _UNSAID.search(found):
        raise UserError(f"{origin}: {key} is {value!r}, and there is no such folder or variable")
    return found


def _check_banned(value: Any, origin: str, place: str) -> None:
    """DVC's run cache ignores parameters of these names (treeverse/dvc#10296)."""
    if not isinstance(value, Mapping):
        return
    for key, entry in value.items():
        if key in ("size", "nfiles"):
            raise UserError(f"{origin}: rename the key {place}{key}; DVC overlooks that name")
        _check_banned(entry, origin, f"{place}{key}.")
