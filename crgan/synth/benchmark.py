"""Writes the demo networks in the on-disk layouts of the data sets they stand in for."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from crgan.common.errors import UserError
from crgan.common.io import read_json, write_json
from crgan.synth.config import DATASETS, DemoConfig
from crgan.synth.layouts import write_cuhk03, write_dukemtmc, write_market1501
from crgan.synth.masks import MASKS_NAME, write_masks
from crgan.synth.network import Network, network_at

MARKER = "complete.json"
WRITERS: dict[str, Callable[[Network], None]] = {
    "market1501": write_market1501,
    "dukemtmc": write_dukemtmc,
    "cuhk03": write_cuhk03,
    "campus": write_market1501,
}


def _renderer() -> str:
    """SHA-256 of this room's sources: what other code has drawn is drawn anew."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()


def _is_current(root: Path, stamp: dict[str, object]) -> bool:
    """Whether `root` holds exactly this data set; refuses a folder that is not a demo's."""
    if not root.exists():
        return False
    marker = root / MARKER
    if marker.is_file():
        found = read_json(marker)
        if not isinstance(found, dict) or "renderer" not in found:
            raise UserError(f"{marker}: not written by the demo benchmark; choose another folder")
        return all(found.get(key) == value for key, value in stamp.items())
    if not root.is_dir() or any(root.iterdir()):
        raise UserError(f"{root}: exists and is not a demo data set; choose another folder")
    return False


def generate(dataset: str, root: str | Path, config: DemoConfig) -> None:
    """Write a demo network under `root` in its data set's real layout.

    Nothing happens when `root` already holds the same data set of the same code and
    configuration. The folder is built beside `root` and renamed, so it is whole or absent.

    Args:
        dataset: "market1501", "dukemtmc" or "cuhk03".
        root: The data set's folder; made, or replaced if it is an older demo data set.
        config: Sizes and gaps.

    Raises:
        UserError: unknown data set, or `root` holds something that is not a demo data set.
    """
    if dataset not in WRITERS:
        raise UserError(f"no demo data set {dataset!r}; choose from {', '.join(DATASETS)}")
    root = Path(root)
    stamp: dict[str, object] = {
        "dataset": dataset,
        "renderer": _renderer(),
        "config": asdict(config),
    }
    if _is_current(root, stamp):
        return
    building = root.parent / f".{root.name}.building"
    shutil.rmtree(building, ignore_errors=True)  # what a killed run left
    building.mkdir(parents=True)
    try:
        network = network_at(dataset, building, config)
        WRITERS[dataset](network)
        write_masks(building / MASKS_NAME, network.masks)
        write_json(building / MARKER, {**stamp, "counts": network.counts})
        if root.exists():
            shutil.rmtree(root)
        building.rename(root)
    finally:
        shutil.rmtree(building, ignore_errors=True)
