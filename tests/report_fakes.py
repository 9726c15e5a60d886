"""A project's folder with a little of everything a report shows, made in a second."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crgan.common.io import save_arrays, save_torch, sha256_bytes, sha256_file, write_json
from crgan.data.entries import SPLITS
from crgan.data.manifest import Manifest, write_manifest
from crgan.looks.samples import draw, write_png
from crgan.masks.store import write_masks
from crgan.nets.reid import ReidNet
from crgan.pipeline import params as parameters
from crgan.pipeline.records import key_of, record_path
from crgan.reid.model_file import reid_file
from crgan.report.page.project import Project, open_project
from crgan.tables import renderings
from crgan.tables.printed import table_rows
from crgan.tables.readable import markdown
from crgan.tables.scores import read_scores
from crgan.tables.tables import build, write_csv

ROOT = Path(__file__).parents[1]
SIZE = (32, 16)
TARGET = "dukemtmc"
WAY = {"source": "market1501", "target": TARGET}
MANIFEST = f"artifacts/smoke/data/{TARGET}/manifest.csv"
RATES = {"direct_transfer": 31.4, "wo_dual_cond": 29.3, "crgan": 47.6}  # one against the paper


def project() -> Project:
    """Fill the present folder, and open it."""
    params = parameters.load(ROOT / "params.yaml")
    params["profiles"]["smoke"]["image"] = {"store": list(SIZE), "train": list(SIZE)}
    _data()
    for i, method in enumerate(RATES):
        _method(method, i)
    _gan()
    _table(params)
    _renderings(params)
    found = open_project(Path("."), params, "smoke")
    return found


def record(
    stage: str, cell: dict[str, Any], outputs: Sequence[str], inputs: Sequence[str] = (),
    *, params: dict[str, Any] | None = None, start: int = 0,
) -> None:  # fmt: skip
    """Write the record of a job that made files which are there."""
    argv = ["python", "-m", f"stages.{stage}"]
    for name in outputs:
        argv += ["--history" if name.endswith("0.csv") else "--out", name]
    made: dict[str, Any] = {
        "stage": stage,
        "cell": {"profile": "smoke", **cell},
        "params": params or {"image": {"train": list(SIZE)}},
        "code_sha256": "0" * 64,
        "inputs": {name: sha256_file(name) for name in inputs},
    }
    run = {
        "argv": argv, "commit": "0123456789ab", "device": "cpu", "threads": 1,
        "machine": "x86_64, 2 cores", "python": "3.11.7", "versions": {"torch": "2"},
        "started": f"2026-11-28T01:{start:02}:00+00:00", "wall_seconds": 30.5,
        "peak_memory_mb": 512.25,
    }  # fmt: skip
    files = {
        name: {"sha256": sha256_file(name), "bytes": Path(name).stat().st_size} for name in outputs
    }
    for name in outputs:
        write_json(record_path(name), {**made, "key": key_of(made), "outputs": files, "run": run})


def _data() -> None:
    """Four people before two cameras, as query and gallery, and their masks."""
    rng = np.random.default_rng(0)
    rows = [(s, p, c) for s in ("train", "query", "gallery") for p in (1, 2, 3, 4) for c in (1, 2)]
    images = rng.integers(0, 256, (len(rows), *SIZE, 3), dtype=np.uint8)
    path = Path(MANIFEST)
    path.parent.mkdir(parents=True)
    np.save(path.with_name("images.npy"), images)
    digests = tuple(sha256_bytes(image.tobytes()) for image in images)
    write_manifest(
        path,
        Manifest(
            paths=tuple(f"{split}/{pid}_c{camid}.jpg" for split, pid, camid in rows),
            pid=np.array([row[1] for row in rows], dtype=np.int64),
            camid=np.array([row[2] for row in rows], dtype=np.int64),
            split=tuple(row[0] for row in rows),
            sha256=digests,
        ),
    )
    record("prepare_data", {"dataset": TARGET}, [MANIFEST])
    mask = np.zeros(SIZE, dtype=bool)
    mask[4:28, 4:12] = True
    masks = f"artifacts/smoke/masks/{TARGET}.h5"
    Path(masks).parent.mkdir(parents=True)
    write_masks(
        masks, [mask] * len(rows), manifest_sha256=sha256_file(path), image_sha256s=digests,
        shape=(len(rows), *SIZE), splits=SPLITS, backend="box", weights_sha256=None, settings={},
    )  # fmt: skip
    record(
        "extract_masks", {"dataset": TARGET}, [masks], [MANIFEST],
        params={"masks": {"backend": "box"}}, start=1,
    )  # fmt: skip


def _method(method: str, i: int) -> None:
    """A CNN, its score and what it found for each query."""
    cell = {"method": method, **WAY, "seed": 0}
    place = f"{method}/market1501-dukemtmc/seed0"
    as_it_is = method == "direct_transfer"
    home = "d_id/market1501" if as_it_is else f"finetuned/{method}/market1501-dukemtmc"
    model = f"artifacts/smoke/{home}/seed0.pt"
    score, queries = f"results/smoke/cells/{place}.json", f"results/smoke/queries/{place}.npz"
    torch.manual_seed(i)
    save_torch(model, reid_file(ReidNet("small", 4, 3), [1, 2, 3], SIZE, "none"))
    record("finetune", cell, [model], [MANIFEST], start=5 + i)
    rates = {"rank1": RATES[method], "rank5": 80.0, "rank10": 90.0, "mAP": RATES[method] / 2}
    write_json(
        score,
        {**cell, "profile": "smoke", "backbone": "small", "notes": ["<b>a note</b>"],
         "pooling": {"global": rates, "lmp": rates}},
    )  # fmt: skip
    rng = np.random.default_rng(i)
    ranks: dict[str, Any] = {
        "query_rows": np.arange(8, 16, dtype=np.int32),
        "gallery_rows": np.arange(16, 24, dtype=np.int32),
    }
    for pooling in ("global", "lmp"):
        ranks[f"ap_{pooling}"] = rng.random(8).astype(np.float32)
        ranks[f"first_{pooling}"] = np.array([1, 1, 2, 3, 1, 4, 0, 2], dtype=np.int32)
        ranks[f"top_{pooling}"] = np.stack([rng.permutation(8) for _ in range(8)]).astype(np.int32)
        ranks[f"right_{pooling}"] = rng.random((8, 8)) < 0.3
    ranks["ap_global"][6] = np.nan  # dropped
    save_arrays(queries, ranks)
    record("evaluate", cell, [score, queries], [MANIFEST, model], start=10 + i)


def _gan() -> None:
    """A history and a sample sheet of two intervals."""
    place = "artifacts/smoke/gan/crgan/market1501-dukemtmc/seed0"
    history, sheet = f"{place}.csv", f"{place}.png"
    Path(history).parent.mkdir(parents=True)
    with open(history, "w", newline="") as file:
        csv.writer(file).writerows(
            [("iteration", "lr", "adv", "id"), (2, 0.1, 0.6931, ""), (4, 0.1, 0.5, 2.25)]
        )
    rows = [(f"row {i}", np.full((3, *SIZE, 3), 20 * i, np.uint8)) for i in range(9)]
    write_png(sheet, draw(rows))
    settings = {"image": {"train": list(SIZE)}, "gan": {"iterations": 4, "sample_every": 2}}
    cell = {"method": "crgan", "model": "crgan", **WAY, "seed": 0}
    masks = f"artifacts/smoke/masks/{TARGET}.h5"
    record("train_gan", cell, [history, sheet], [MANIFEST, masks], params=settings, start=2)


def _table(params: dict[str, Any]) -> None:
    files = [f"results/smoke/cells/{method}/market1501-dukemtmc/seed0.json" for method in RATES]
    scores = read_scores(files, profile="smoke", seeds=[0], why_stale=lambda path: None)
    table = build(
        table_rows(2, ROOT / "reported"), scores, profile="smoke", methods=params["methods"],
        seeds=[0],
    )  # fmt: skip
    write_csv("results/table2.csv", table)
    Path("results/table2.md").write_text(markdown(table), encoding="utf-8")


def _renderings(params: dict[str, Any]) -> None:
    """What the judges said of CR-GAN alone, and the table of it."""
    place = "results/smoke/judged/crgan/market1501-dukemtmc/seed0.json"
    said = {"identity": 61.7, "domain": 83.1, "camera": 41.9, "diversity": 0.277}
    beside = {"identity": 92.3, "domain": 1.4, "camera": None}
    cell = {"method": "crgan", **WAY, "seed": 0}
    write_json(place, {**cell, **said, "profile": "smoke", "notes": [], "reference": beside})
    record("judge_images", cell, [place], [MANIFEST], start=20)
    lines = renderings.lines_of(
        [place], [], profile="smoke", methods=params["methods"], why_stale=lambda path: None
    )
    renderings.write_csv("results/renderings.csv", lines, "smoke")
