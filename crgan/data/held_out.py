"""A raw data set made of another's training identities, some of them held out as query and gallery.

So that a choice can be validated on people that no training saw, with every stage, loader and
protocol as they are, and without the source's own test set, which other cells are measured on.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from crgan.common.errors import UserError
from crgan.data.entries import Entry
from crgan.data.layout import layout_of, options_from
from crgan.data.named_folders import FOLDERS

_FOLDER_OF = {split: folder for folder, split in FOLDERS.items()}


def hold_out(layout: str, raw: Path, out: Path, *, share: float, seed: int) -> dict[str, int]:
    """Write the folder; images are hard links where the file system can.

    Args:
        layout: market1501 or dukemtmc.
        share: of the training identities that are held out, at least two of them.
        seed: which ones.

    Returns:
        Images by split.

    Raises:
        UserError: a share outside 0 to 1, too few identities, or an `out` that is there already.
    """
    if not 0 < share < 1:
        raise UserError(f"--share is {share}; give a share of the identities between 0 and 1")
    if out.exists():
        raise UserError(f"{out}: is there already; give another --out, or delete it")
    listing = layout_of(layout).load(raw, options_from(layout, {}, layout), layout)
    split_of = _splits([e for e in listing.entries if e.split == "train"], share, seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        for folder in FOLDERS:
            (temporary / folder).mkdir()
        for path, split in split_of.items():
            _link(listing.root / path, temporary / _FOLDER_OF[split] / Path(path).name)
        temporary.chmod(0o755)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    found = list(split_of.values())
    return {split: found.count(split) for split in FOLDERS.values()}


def _splits(train: list[Entry], share: float, seed: int) -> dict[str, str]:
    """{path: split}: a held-out person's first image before each camera is a query."""
    pids = sorted({entry.pid for entry in train if entry.pid > 0})
    count = max(2, round(share * len(pids)))
    if count > len(pids) - 2:
        raise UserError(f"{len(pids)} training identities: {count} cannot be held out of them")
    held = set(np.random.default_rng(seed).choice(pids, size=count, replace=False).tolist())
    asked: set[tuple[int, int]] = set()
    split_of = {}
    for entry in sorted(train, key=lambda e: e.path):
        seen = (entry.pid, entry.camid)
        if entry.pid not in held:
            split_of[entry.path] = "train"
        elif seen in asked:
            split_of[entry.path] = "gallery"
        else:
            asked.add(seen)
            split_of[entry.path] = "query"
    return split_of


def _link(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except OSError:  # another file system, or one without links
        shutil.copyfile(old, new)
