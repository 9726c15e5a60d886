"""A small measured project: real stages on a few generated images and untrained networks.

Two methods, two seeds, one direction; Table 6 with its record, per-query results beside the scores.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import yaml

from crgan.common.io import sha256_bytes
from crgan.data.manifest import Manifest, write_manifest
from crgan.pipeline import params as parameters
from crgan.pipeline.stage import run_stage

ROOT = Path(__file__).parents[1]
SOURCE, TARGET = "market1501", "dukemtmc"
PAIR = ["--source", SOURCE, "--target", TARGET]
METHODS = ("direct_transfer", "buc")
SEEDS = (0, 1)
SIZE = (64, 32)
TABLE = "results/table6.csv"
PRINTED = ["reported/table6.csv", "reported/table2.csv"]


def make() -> None:
    """Build it in the present folder, which becomes a project's."""
    prepare()
    for method in METHODS:
        for seed in SEEDS:
            evaluate(method, seed)
    make_table()


def prepare() -> None:
    """Parameters, images and networks, and nothing measured."""
    params = parameters.load(ROOT / "params.yaml") | {"profile": "smoke"}
    params["matrix"]["seeds"] = list(SEEDS)
    Path("params.yaml").write_text(yaml.safe_dump(params))
    Path("reported").symlink_to(ROOT / "reported")
    Path("weights.yaml").symlink_to(ROOT / "weights.yaml")
    _data_set(np.random.default_rng(0))
    _networks()


def score(method: str, seed: int, kind: str = "cells", suffix: str = ".json") -> str:
    """Path of a cell's result."""
    return f"results/smoke/{kind}/{method}/{SOURCE}-{TARGET}/seed{seed}{suffix}"


def network(seed: int) -> str:
    """Path of a network; Direct Transfer and BUC look at networks of different seeds."""
    return f"artifacts/smoke/fresh/seed{seed}.pt"


def evaluate(method: str, seed: int) -> None:
    """Score one method with one seed."""
    from stages import evaluate as stage

    reid = network(seed + 10 * METHODS.index(method))
    run(
        stage, "--method", method, *PAIR, "--seed", str(seed),
        "--target-manifest", "data/manifest.csv", "--reid", reid,
        "--out", score(method, seed), "--queries", score(method, seed, "queries", ".npz"),
    )  # fmt: skip


def run(stage: ModuleType, *argv: str) -> None:
    """Run a stage as its command line would be, which the record then names."""
    with mock.patch.object(sys, "argv", [str(stage.__file__), *argv]):
        run_stage(stage.parser, stage.body)


def make_table() -> None:
    """Table 6 of what was scored."""
    from stages import make_table as stage

    folders = [f"results/smoke/cells/{method}/{SOURCE}-{TARGET}" for method in METHODS]
    argv = ["--table", "6", "--printed", *PRINTED, "--cells", *folders]
    run(stage, *argv, "--out", TABLE, "--readable", "results/table6.md")


def _networks() -> None:
    from stages import fetch_weights, fresh_cnn

    weights = "artifacts/smoke/weights/backbone.pt"
    run(fetch_weights, "--role", "backbone", "--out", weights)
    for seed in (*SEEDS, *(10 + seed for seed in SEEDS)):
        run(fresh_cnn, "--seed", str(seed), "--weights", weights, "--out", network(seed))


def _data_set(rng: np.random.Generator) -> None:
    """Twelve people before two cameras, in query and gallery; raw material, so without a record."""
    rows = [(s, p, c) for s in ("train", "query", "gallery") for p in range(1, 13) for c in (1, 2)]
    faces = rng.integers(0, 256, (13, *SIZE, 3))
    noise = rng.integers(-90, 91, (len(rows), *SIZE, 3))
    images = np.clip(faces[[p for _, p, _ in rows]] + noise, 0, 255).astype(np.uint8)
    folder = Path("data")
    folder.mkdir()
    np.save(folder / "images.npy", images)
    manifest = Manifest(
        paths=tuple(f"{split}/{pid:02}_c{camid}.jpg" for split, pid, camid in rows),
        pid=np.array([row[1] for row in rows], dtype=np.int64),
        camid=np.array([row[2] for row in rows], dtype=np.int64),
        split=tuple(row[0] for row in rows),
        sha256=tuple(sha256_bytes(image.tobytes()) for image in images),
    )
    write_manifest(folder / "manifest.csv", manifest)
