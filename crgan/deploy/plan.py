"""The parameters of one adaptation: the project's own, with a site for a target and few cells."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.paths import expanded, is_address
from crgan.data.prepare import DataSpec, missing_source
from crgan.deploy.site import Site
from crgan.tables.names import dataset_label

SITE = "site"
START = "./start.pt"  # in the work folder: the backbone that learning starts from, if one is given
GENERATED = "generated"
_BEFORE = "direct_transfer"
# what a user may choose: the entries of `methods` that are run for it, whose last gives the CNN
METHODS = {
    "crgan": ("crgan",),
    "crgan+cluster_contrast": ("crgan", "crgan_cluster_contrast"),
    "direct": (_BEFORE,),
}
_OWN = "source"  # name of a source that is given as a folder
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
    before: str = _BEFORE

    @property
    def profile(self) -> str:
        return str(self.params["profile"])

    @property
    def methods(self) -> tuple[str, ...]:
        """Those whose CNNs are made, `before` first."""
        return tuple(dict.fromkeys((self.before, self.method)))

    def criteria(self, method: str) -> str:
        """What Snakemake is asked for; the record beside it names the re-id file."""
        return f"results/{self.profile}/selection/{method}/{self.source}-{SITE}/seed0.json"

    @property
    def gan(self) -> str | None:
        """The GAN whose renderings are shown, of methods that have one."""
        if self.method == self.before:
            return None
        return f"artifacts/{self.profile}/gan/crgan/{self.source}-{SITE}/seed0.pt"

    @property
    def source_label(self) -> str:
        """The source as people name it."""
        scaled = self.params["profiles"][self.profile]["data"][self.source]
        if scaled["source"] == GENERATED:
            return "the generated benchmark"
        if self.source == _OWN:
            return f"a folder of layout {self.params['data'][self.source]['layout']}"
        return dataset_label(self.source)

    def provenance(self, site: Site) -> dict[str, Any]:
        """What both model files say of their making; nothing of where and when."""
        method = self.params["methods"][self.method]
        return {
            "method": method["label"], "supervision": list(method["uses"]),
            "profile": self.profile, "source": self.source_label,
            "cameras": len(site.cameras), "images": site.images,
        }  # fmt: skip

    def manifest(self, dataset: str) -> str:
        return f"artifacts/{self.profile}/data/{dataset}/manifest.csv"

    def masks(self, dataset: str) -> str:
        return f"artifacts/{self.profile}/masks/{dataset}.h5"


def plan(
    params: Mapping[str, Any],
    folder: Path,
    *,
    source: str,
    method: str,
    profile: str,
    project: Path,
    masks: str | None = None,
) -> Plan:
    """The parameters for a site, from the project's.

    Args:
        params: the content of the project's params.yaml.
        folder: the site.
        source: a labelled data set by name, a folder of one, or `generated`.
        method: a key of `METHODS`.
        profile: one of the parameters'.
        project: the checkout, which the sources in `params` are relative to.
        masks: a mask backend; the profile's by default, but for `jppnet` `mediapipe_pose`, whose
            weights a run can fetch.

    Raises:
        UserError: an unknown method, profile or source, or a source that is not there.
    """
    if method not in METHODS:
        raise UserError(f"--method {method}: use one of {', '.join(METHODS)}")
    if profile not in params["profiles"]:
        raise UserError(f"--profile {profile}: use one of {', '.join(params['profiles'])}")
    made = copy.deepcopy(dict(params))
    name, shared, scaled = _source(made, source, profile, project)
    site = {"source": str(folder.resolve()), "expect": "none"}
    wanted = dict.fromkeys((_BEFORE, *METHODS[method]))
    shown = (_BEFORE, METHODS[method][-1])
    made |= {
        "profile": profile,
        "seeds": [0],
        "pairs": {SITE: [f"{name} to {SITE}"]},
        "methods": {m: _line(params["methods"][m], m in shown) for m in wanted},
        "data": {name: shared, SITE: {"layout": "folder", "on_odd": "convert"}},
        "profiles": {profile: {**made["profiles"][profile], "data": {name: scaled, SITE: site}}},
        "chosen": [],
    }
    made.pop("run_pairs", None)  # all of its one
    own = made["profiles"][profile]
    backend = masks or _FETCHED.get(own["masks"]["backend"])
    if backend:
        own["masks"] = {**own["masks"], "backend": backend}
    return Plan(made, name, METHODS[method][-1])


_FETCHED = {"jppnet": "mediapipe_pose"}


def _line(line: Mapping[str, Any], is_shown: bool) -> dict[str, Any]:
    """A method's line for the one direction there is; criteria are for those that are compared."""
    kept = {k: v for k, v in line.items() if k not in ("beyond", "visual", "select")}
    return {**kept, "pairs": [SITE], **({"select": [SITE]} if is_shown else {})}


def _source(
    params: Mapping[str, Any], source: str, profile: str, project: Path
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Name of the source's data set, its entry in `data` and its entry in the profile."""
    if source == GENERATED:
        profiles = (profile, *params["profiles"])
        entries = [params["profiles"][p]["data"].get(_GENERATED_AS, {}) for p in profiles]
        drawn = next(entry for entry in entries if entry.get("source") == GENERATED)
        return _GENERATED_AS, params["data"][_GENERATED_AS], drawn
    if source in params["data"]:
        entries = [p["data"].get(source, {}) for p in params["profiles"].values()]
        real = [entry for entry in entries if entry.get("source", GENERATED) != GENERATED]
        if not real:
            raise UserError(f"--source {source}: params.yaml names no place of it; name its folder")
        place = expanded(real[0]["source"])
        scaled = {**real[0], "source": place if is_address(place) else str(project / place)}
        if lacking := missing_source(
            source, DataSpec.of(source, {**params["data"][source], **scaled})
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
    return _OWN, {"layout": _layout_of(folder)}, scaled


def _layout_of(folder: Path) -> str:
    """The layout whose loader understands a labelled folder."""
    from crgan.data.layout import names
    from crgan.deploy.labelled import readings

    for name, listing in readings(folder, "source"):
        if any(entry.pid > 0 and entry.split == "train" for entry in listing.entries):
            return name
    raise UserError(
        f"--source {folder}: no labelled data set of a known layout ({', '.join(names())}); the "
        "source is the set with people's identities, the folder of your cameras is --target"
    )
