"""`report.html`: what an adaptation did, for a person to look at before the model is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crgan.common.io import load_torch
from crgan.data.integrity import resize
from crgan.data.store import Split, open_dataset
from crgan.deploy.card import CRITERIA
from crgan.deploy.model import ReidModel
from crgan.deploy.nearest import top_k
from crgan.deploy.page import data_uri, printable, write_page
from crgan.deploy.plan import SITE, Plan
from crgan.gan.base import Task, open_task
from crgan.gan.crgan import load_generator
from crgan.looks.generators import part_columns
from crgan.looks.masks import overlay
from crgan.looks.picks import different_first, pick_pairs

_SHOWN = 12  # crops with masks, and renderings
_QUERIES = 10
_NEIGHBOURS = 6
_SEED = 7

Images = NDArray[np.uint8]


def write_report(
    path: Path,
    what: Plan,
    cameras: list[str],
    work: Path,
    reid: Mapping[str, Path],
    criteria: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write the report of an adaptation as one file.

    Args:
        what: what was run.
        cameras: names of the cameras, in the order of their numbers from 1.
        work: the work folder.
        reid: by method, its re-id file.
        criteria: by method, what stage `select` gave.
    """
    stored = open_dataset(work / what.manifest(SITE)).split("train")
    rng = np.random.default_rng(_SEED)
    rows = different_first(stored.camid, _QUERIES, rng)
    models = {method: ReidModel.load(file) for method, file in reid.items()}
    rankings = {method: neighbours(model, stored, rows) for method, model in models.items()}
    names = ("before", "after") if len(what.methods) > 1 else ("this model",)
    queries = []
    for place, row in enumerate(rows):
        found = [
            {"name": name, "images": [_image(stored, i, cameras) for i in rankings[method][place]]}
            for name, method in zip(names, what.methods, strict=True)
        ]
        queries.append({"query": _image(stored, int(row), cameras), "found": found})
    task = _task(what, work)
    table = [
        {"label": label, "reading": reading,
         "values": [f"{criteria[method][key]:.4f}" for method in what.methods]}
        for key, (label, reading) in CRITERIA.items()
    ]  # fmt: skip
    write_page(
        path, "adapted.html.j2", title="Adapted to your cameras", names=names, table=table,
        method=what.params["methods"][what.method]["label"], source=what.source_label,
        images=len(stored), cameras=[printable(name) for name in cameras], profile=what.profile,
        queries=queries, masks=_masks(task) if task else [],
        renderings=_renderings(what, work, task) if task else [],
    )  # fmt: skip


def neighbours(model: ReidModel, split: Split, rows: NDArray[np.int64]) -> list[list[int]]:
    """The images of other cameras that are most like each of `rows`, best first."""
    features = model(image for image in split.images)
    found, _ = top_k(
        features[rows], features, min(_NEIGHBOURS, len(features)),
        cameras=(split.camid[rows], split.camid),
    )  # fmt: skip
    return [[int(i) for i in row if i >= 0] for row in found]


def _task(what: Plan, work: Path) -> Task | None:
    """Source and target with their masks, of methods that render."""
    if what.gan is None:
        return None
    size = what.params["profiles"][what.profile]["image"]["train"]
    manifest, masks = (
        {name: work / place(name) for name in (what.source, SITE)}
        for place in (what.manifest, what.masks)
    )
    return open_task(
        manifest[what.source], manifest[SITE], masks[what.source], masks[SITE], size
    )  # fmt: skip


def _masks(task: Task) -> list[str]:
    """Some crops of the target beside themselves with the person tinted."""
    rng = np.random.default_rng(_SEED)
    rows = different_first(task.target.camid, _SHOWN, rng)
    pairs = zip(task.target.images[rows], task.target_masks[rows], strict=True)
    return [
        data_uri(_large(np.concatenate((image, overlay(image, m)), axis=1))) for image, m in pairs
    ]


def _renderings(what: Plan, work: Path, task: Task) -> list[dict[str, Any]]:
    """X_S, X_T and X_G of some pairs."""
    assert what.gan is not None
    rng = np.random.default_rng(_SEED)
    s_rows, t_rows = pick_pairs(task.source, task.target, _SHOWN, _SHOWN, rng)
    count = min(len(s_rows), len(t_rows))
    generator = load_generator(load_torch(work / what.gan), "cpu", what.gan)
    columns = dict(part_columns(generator, task, s_rows[:count], t_rows[:count]))
    shown = {"X_S": "source", "X_T": "your camera", "X_G": "rendered"}
    return [
        {"label": label, "images": [data_uri(_large(image)) for image in columns[key]]}
        for key, label in shown.items()
    ]


def _image(split: Split, row: int, cameras: list[str]) -> dict[str, str]:
    name = cameras[int(split.camid[row]) - 1]
    return {"uri": data_uri(_large(split.images[row])), "caption": printable(name)}


def _large(image: Images) -> Images:
    """Small images enlarged to 128 rows, so that their compression does not show."""
    height, width = image.shape[:2]
    return image if height >= 128 else resize(image, 128, round(width * 128 / height))
