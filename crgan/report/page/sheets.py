"""Figures, rank lists, mask sheets and CMC curves."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from crgan.common.io import load_arrays
from crgan.data.store import open_dataset
from crgan.looks.masks import mask_sheet
from crgan.masks.store import open_masks
from crgan.report.page.album import Album, Encoded
from crgan.report.page.project import CELL, Project
from crgan.report.page.training import job_name
from crgan.tables.cmc import cmc
from crgan.tables.names import dataset_label
from crgan.tables.written import direction_label

_MASKS = 24


@dataclass(frozen=True)
class Figure:
    """A figure of the paper, or a sheet: the image, or the command that makes it."""

    name: str
    title: str
    caption: str
    image: Encoded | None
    key: str
    command: str

    @property
    def short(self) -> str:
        """The title without the direction."""
        return self.title.partition(":")[0]


def figures(project: Project, album: Album) -> list[Figure]:
    """Figures 5, 6 (with its parts) and 7, made or not."""
    five = "Figure 5: people of the data sets, each seen by two cameras"
    found = [_figure(project, album, "figure5", five, "")]
    for pair in project.params["matrix"]["renderings"]:
        way = direction_label(pair["source"], pair["target"])
        ends = f"{pair['source']}-{pair['target']}"
        found += [
            _figure(
                project, album, f"figure6-{ends}", f"Figure 6: {way}",
                "Each row a source person, each column a target's context; the last column is "
                "rendered without the dual condition.",
            ),
            _figure(
                project, album, f"figure6-{ends}-parts", f"What CR-GAN puts together: {way}",
                "Source X_S, target X_T, its mask M, X'_T, residual X_R, context mask X_C, "
                "rendering X_G.",
            ),
            _figure(
                project, album, f"figure7-{ends}", f"Figure 7: {way}",
                "The same source people rendered by each method; several contexts where a method's "
                "renderings vary.",
            ),
        ]  # fmt: skip
    return found


def _figure(project: Project, album: Album, name: str, title: str, caption: str) -> Figure:
    output = f"results/figures/{name}.png"
    path = project.file(output)
    image = album.file(path, title) if path else None
    key = project.key_of(output) if path else ""
    # the parts are made with the figure they belong to
    command = project.command(output.replace("-parts.png", ".png"))
    return Figure(name, title, caption, image, key, command)


def rank_lists(project: Project, album: Album) -> list[Figure]:
    """The rank lists of the matrix, first seed, those that are made."""
    found: list[Figure] = []
    for cell in project.params["matrix"]["visual"]:
        for seed, output in project.seed_files("ranks", cell, ".png"):
            record = project.records[output]
            title = job_name(project, record["cell"], "ranks")
            image = album.file(project.root / output, f"Rank lists of {title}", widest=900)
            found.append(Figure(f"ranks-{len(found)}-{seed}", title, "", image, record["key"], ""))
            break
    return found


def rank_command(project: Project) -> str:
    """The command that makes the first rank list; all figures, where the matrix has none."""
    cells = project.params["matrix"]["visual"]
    if not cells:
        return project.command("figures")
    where = CELL.format(**cells[0], seed=project.seeds[0])
    return project.command(f"results/{project.profile}/ranks/{where}.png")


def masks(project: Project, album: Album) -> list[Figure]:
    """A sheet of masks of each data set: image, mask, mask over image."""
    found = []
    for name in project.params["matrix"]["datasets"]:
        output = f"artifacts/{project.profile}/masks/{name}.h5"
        path, manifest = project.file(output), project.artifacts / "data" / name / "manifest.csv"
        title = f"Masks of {dataset_label(name)}"
        if path is None or not manifest.is_file():
            found.append(Figure(f"masks-{name}", title, "", None, "", project.command(output)))
            continue
        packed = open_masks(path, manifest)
        data = open_dataset(manifest)
        rows = packed.spread(_MASKS)
        sheet = mask_sheet(data.store[rows], packed.read(rows), columns=_MASKS)
        record = project.records[output]
        backend = record["params"]["masks"]["backend"]
        image = album.add(sheet, f"{title}: images, masks, masks over images")
        found.append(
            Figure(f"masks-{name}", title, f"Made by {backend}.", image, record["key"], "")
        )
    return found


@dataclass(frozen=True)
class Cmc:
    """CMC curves of one direction by one pooling: a line a method, its percent by rank."""

    name: str
    lines: list[dict[str, Any]]


_POOLINGS = {
    "global": "global pooling", "lmp": "LMP", "global_rr": "global pooling, re-ranked",
    "lmp_rr": "LMP, re-ranked",
}  # fmt: skip


def cmc_curves(project: Project) -> list[Cmc]:
    """Curves of every direction and pooling that queries were kept of; means over seeds."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    matrix = project.params["matrix"]
    for cell in (c for group in ("adapt", "gan", "rendered", "handcrafted") for c in matrix[group]):
        files = [project.root / name for _, name in project.seed_files("queries", cell, ".npz")]
        arrays = [load_arrays(path) for path in files]
        way = direction_label(cell["source"], cell["target"])
        for pooling, title in _POOLINGS.items():
            rates = [cmc(a[f"first_{pooling}"]) for a in arrays if f"first_{pooling}" in a]
            if rates:
                mean = [round(float(rate), 2) for rate in np.mean(rates, axis=0)]
                found[f"{way}, {title}"].append(
                    {"method": project.label(cell["method"]), "percent": mean}
                )
    return [Cmc(name, lines) for name, lines in found.items()]
