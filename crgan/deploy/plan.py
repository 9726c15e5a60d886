"""The parameters of one adaptation: the project's own, with a site for a target and few cells."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.data.prepare import LAYOUTS, Recipe, load, missing_source

SITE = "site"
GENERATED = "generated"
METHODS = ("crgan", "crgan+cluster_contrast", "direct")
_GENERATED_AS = "market1501"  # the generated benchmark's set that people come from


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        params: of `params.yaml` in the work folder.
        source: name of the source's data set.
        method, before: entries of `methods`: the adapted CNN's, and the one it is compared with.
    """

    params: dict[str, Any]
    source: str
    method: str
    before: str = "direct_transfer"

    @property
    def profile(self) -> str:
        return str(self.params["profile"])

    def reid(self, method: str) -> str:
        return f"artifacts/{self.profile}/reid/{method}/{self.source}-{SITE}/seed0.pt"

    def criteria(self, method: str) -> str:
        return f"results/{self.profile}/selection/{method}/{self.source}-{SITE}/seed0.json"

    @property
    def gan(self) -> str | None:
        """The GAN whose renderings are shown, of methods that have one."""
        if self.method == self.before:
            return None
        return f"artifacts/{self.profile}/gan/crgan/{self.source}-{SITE}/seed0.pt"

    def manifest(self, dataset: str) -> str:
        return f"artifacts/{self.profile}/data/{dataset}/manifest.csv"

    def masks(self, dataset: str) -> str:
        return f"artifacts/{self.profile}/masks/{dataset}.h5"

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.before, self.method)))

    @property
    def targets(self) -> list[str]:
        """The files Snakemake is asked for."""
        return [f(m) for m in self.methods for f in (self.reid, self.criteria)]


def plan(
    params: Mapping[str, Any],
    folder: Path,
    *,
    source: str,
    method: str,
    profile: str,
    project: Path,
) -> Plan:
    """The parameters for a site, from the project's.

    Args:
        params: as `crgan.pipeline.params.load` gives them.
        folder: the site.
        source: a labelled data set by name, a folder of one, or `generated`.
        method: one of `METHODS`.
        profile: one of the parameters'.
        project: the checkout, which the sources in `params` are relative to.

    Raises:
        UserError: an unknown method, profile or source, or a source that is not there.
    """
    if method not in METHODS:
        raise UserError(f"--method {method}: use one of {', '.join(METHODS)}")
    if profile not in params["profiles"]:
        raise UserError(f"--profile {profile}: use one of {', '.join(params['profiles'])}")
    made = copy.deepcopy(dict(params))
    made["profile"] = profile
    name, shared, scaled = _source(made, source, project)
    made["data"] = {name: shared, SITE: {"layout": "folder", "on_odd": "convert"}}
    site = {"source": str(folder.resolve()), "expect": "none"}
    made["profiles"] = {profile: {**made["profiles"][profile], "data": {name: scaled, SITE: site}}}
    pair = {"source": name, "target": SITE}
    adapted = {
        "crgan": "crgan", "crgan+cluster_contrast": "crgan_cluster_contrast",
        "direct": "direct_transfer",
    }[method]  # fmt: skip
    start = f"d_id/{name}"
    adapt = [{"method": "direct_transfer", "model": "direct_transfer", **pair, "start": start}]
    if adapted == "crgan_cluster_contrast":
        start = f"reid/crgan/{name}-{SITE}"
        adapt += [{"method": adapted, "model": "cluster_contrast", **pair, "start": start}]
    gan = [{"method": "crgan", "model": "crgan", **pair}] if method != "direct" else []
    found = Plan(made, name, adapted)
    none = ("translators", "rendered", "handcrafted", "visual", "judges", "renderings")
    made["matrix"] = {
        "seeds": [0], "datasets": [name, SITE], "sources": [name], "targets": [SITE],
        "gan": gan, "adapt": adapt, **{group: [] for group in none},
        "selected": [{"method": m, **pair} for m in found.methods],
    }  # fmt: skip
    made["chosen"] = []
    return found


def _source(
    params: Mapping[str, Any], source: str, project: Path
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Name of the source's data set, its entry in `data` and its entry in the profile."""
    if source == GENERATED:
        profiles = (params["profile"], *params["profiles"])
        entries = [params["profiles"][p]["data"].get(_GENERATED_AS, {}) for p in profiles]
        drawn = next(entry for entry in entries if entry.get("source") == "generated")
        return _GENERATED_AS, params["data"][_GENERATED_AS], drawn
    if source in params["data"]:
        entries = [p["data"].get(source, {}) for p in params["profiles"].values()]
        real = [entry for entry in entries if entry.get("source", "generated") != "generated"]
        if not real:
            raise UserError(f"--source {source}: params.yaml names no place of it; name its folder")
        scaled = {**real[0], "source": str(project / real[0]["source"])}
        if lacking := missing_source(
            source, Recipe.of(source, {**params["data"][source], **scaled})
        ):
            raise UserError(
                f"{lacking} Or name its folder, or try --source generated, without data"
            )
        return source, params["data"][source], scaled
    folder = Path(source)
    if not folder.exists():
        known = ", ".join((*params["data"], GENERATED))
        raise UserError(f"--source {source}: no such folder, and no known data set ({known})")
    scaled = {"source": str(folder.resolve()), "expect": "none"}
    return "source", {"layout": _layout_of(folder)}, scaled


def _layout_of(folder: Path) -> str:
    """The layout whose loader understands a labelled folder."""
    for layout in LAYOUTS:
        try:
            listing = load("source", Recipe(layout, str(folder)), folder)
        except UserError:
            continue
        if any(entry.pid > 0 and entry.split == "train" for entry in listing.entries):
            return layout
    raise UserError(
        f"--source {folder}: no labelled data set of a known layout ({', '.join(LAYOUTS)}); the "
        "source is the set with people's identities, the folder of your cameras is --target"
    )
