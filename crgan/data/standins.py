"""Generated images under the real file names: to try the loaders and the paper's profile.

    python -m crgan.data.standins --dataset market1501 --lists LISTS --out FOLDER

writes a tree with the data set's own layout and names, taken from published file lists, whose
images are simple drawings. Nothing can be learnt from them; counts, sizes, times and memory are
those of the real thing. A few hundred images are drawn and encoded once and then reused. Without
LISTS names are invented, as many of each split and camera as are published.

LISTS holds `market_train.list`, `market_query.list`, `market_test.list` (or `duke_*.list`), one
image name a line, labels after a space ignored; for cuhk03 it is the new protocol's configuration
file or the folder with it, and needed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import h5py
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.hdf5 import writing_hdf5
from crgan.data.counts import SplitCount
from crgan.data.entries import DISTRACTOR_PID, JUNK_PID, Entry
from crgan.data.layout import Layout, layout_of, names
from crgan.data.layouts.cuhk03 import MAT, PROTOCOL_FILE
from crgan.data.mat5 import load_mat
from crgan.pipeline.progress import Bar

_LISTS = {"market1501": "market", "dukemtmc": "duke"}
_FOLDERS = {"train": "bounding_box_train", "query": "query", "test": "bounding_box_test"}
_CELLS = 10  # images a person has at most in CUHK03


def draw(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """A clothed figure before a soft background, uint8 (height, width, 3) RGB."""
    rough = rng.integers(40, 220, size=(5, 3, 3), dtype=np.uint8)
    image = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)
    skin, top, legs = (tuple(int(v) for v in rng.integers(20, 236, 3)) for _ in range(3))
    x = int(width * rng.uniform(0.4, 0.6))
    half = max(1, int(width * rng.uniform(0.13, 0.2)))
    waist, foot = int(height * rng.uniform(0.48, 0.58)), int(height * 0.95)
    cv2.rectangle(image, (x - half, int(height * 0.2)), (x + half, waist), top, -1)
    cv2.rectangle(image, (x - half, waist), (x - half // 4, foot), legs, -1)
    cv2.rectangle(image, (x + half // 4, waist), (x + half, foot), legs, -1)
    cv2.circle(image, (x, int(height * 0.12)), max(1, int(height * 0.07)), skin, -1)
    noise = rng.integers(-8, 9, size=image.shape)
    return np.clip(image.astype(np.int64) + noise, 0, 255).astype(np.uint8)


def write_tree(
    dataset: str, lists: Path, out: Path, height: int, width: int, distinct: int, seed: int
) -> int:
    """Write Market-1501 or DukeMTMC-reID with `distinct` different images; the number of files.

    Raises:
        UserError: a list is missing or `out` is not empty.
    """
    listed = {split: _read_list(lists / f"{_LISTS[dataset]}_{split}.list") for split in _FOLDERS}
    paths = [f"{_FOLDERS[split]}/{name}" for split, found in listed.items() for name in found]
    _write_images(paths, out, height, width, distinct, seed)
    return len(paths)


def published_entries(layout: Layout, counts: Mapping[str, SplitCount]) -> list[Entry]:
    """Invented images of a layout: as many of each split, camera and kind as `counts` says.

    People of the test set follow those of the training set in number.
    """
    assert layout.stand_in is not None
    entries = []
    for split, wanted in counts.items():
        first = 1 if split == "train" else 1 + counts["train"].ids
        nobody = [JUNK_PID] * wanted.junk + [DISTRACTOR_PID] * wanted.distractors
        cameras = np.repeat(np.arange(1, len(wanted.cameras) + 1), wanted.cameras).tolist()
        for number, camid in enumerate(cameras):
            person = first + (number - len(nobody)) % wanted.ids
            pid = nobody[number] if number < len(nobody) else person
            entries.append(Entry(layout.stand_in(split, pid, camid, number), pid, camid, split))
    return entries


def write_published(
    layout: Layout,
    counts: Mapping[str, SplitCount],
    out: Path,
    height: int,
    width: int,
    distinct: int,
    seed: int,
) -> int:
    """Write a tree of `published_entries`, with what lists them; the number of images.

    Raises:
        UserError: `out` is not empty.
    """
    entries = published_entries(layout, counts)
    _write_images([entry.path for entry in entries], out, height, width, distinct, seed)
    lists = layout.stand_in_lists(entries) if layout.stand_in_lists else {}
    for name, text in lists.items():
        (out / name).write_text(text)
    return len(entries)


def _write_images(
    paths: list[str], out: Path, height: int, width: int, distinct: int, seed: int
) -> None:
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: not empty; give a new folder")
    rng = np.random.default_rng(seed)
    jpegs = [simplejpeg.encode_jpeg(draw(rng, height, width), quality=90) for _ in range(distinct)]
    for folder in {str(Path(path).parent) for path in paths}:
        (out / folder).mkdir(parents=True, exist_ok=True)
    for i, path in enumerate(Bar(paths, desc=str(out), unit="img")):
        (out / path).write_bytes(jpegs[i % distinct])


def _read_list(path: Path) -> list[str]:
    try:
        names = [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
    except FileNotFoundError:
        raise UserError(f"{path}: no such list of image names") from None
    if bad := [name for name in names if "/" in name or name.startswith(".")]:
        raise UserError(f"{path}: {bad[0]!r} is not a plain file name")
    return names


def write_cuhk03(lists: Path, out: Path, height: int, width: int, distinct: int, seed: int) -> int:
    """Write `cuhk-03.mat` with the detected images that the protocol file names; their number."""
    config = lists if lists.is_file() else lists / PROTOCOL_FILE
    if not config.is_file():
        raise UserError(f"{config}: no such protocol file")
    names = [str(name) for name in load_mat(config, squeeze_me=True)["filelist"]]
    rng = np.random.default_rng(seed)
    crops = [draw(rng, height, width) for _ in range(distinct)]
    images = (crops[i % distinct] for i in range(len(names)))
    write_mat(out / MAT, Bar(zip(names, images, strict=True), total=len(names), unit="img"))
    return len(names)


def write_mat(path: Path, images: Iterable[tuple[str, NDArray[np.uint8]]]) -> None:
    """Write images in the raw layout of `cuhk-03.mat` (HDF5 as MATLAB 7.3 writes it).

    Args:
        path: the file.
        images: (`<pair>_<person>_<view>_<image>.png`, uint8 (H, W, 3) RGB); cells that no name
            fills become MATLAB's empty arrays.
    """
    with writing_hdf5(path) as file:
        store = file.create_group("#refs#")
        empty = store.create_dataset("empty", data=np.zeros(2, dtype=np.uint64))
        empty.attrs["MATLAB_empty"] = np.uint8(1)
        filled: dict[tuple[int, int, int], h5py.Reference] = {}
        for i, (name, image) in enumerate(images):
            pair, person, _, number = (int(part) for part in name.removesuffix(".png").split("_"))
            data = store.create_dataset(f"i{i}", data=np.ascontiguousarray(image.T))
            filled[pair, person, number] = data.ref
        pairs = max(pair for pair, _, _ in filled)
        top = file.create_dataset("detected", (1, pairs), dtype=h5py.ref_dtype)
        for pair in range(1, pairs + 1):
            persons = max((person for p, person, _ in filled if p == pair), default=0)
            cells = store.create_dataset(f"pair{pair}", (_CELLS, persons), dtype=h5py.ref_dtype)
            block = np.full((_CELLS, persons), empty.ref, dtype=h5py.ref_dtype)
            for (p, person, number), reference in filled.items():
                if p == pair:
                    block[number - 1, person - 1] = reference
            cells[...] = block
            top[0, pair - 1] = cells.ref


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m crgan.data.standins",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = [name for name in names() if layout_of(name).published(layout_of(name).options())]
    parser.add_argument("--dataset", required=True, choices=known)
    parser.add_argument("--lists", type=Path, help="folder of the name lists; invented without")
    parser.add_argument("--out", required=True, type=Path, help="folder to write")
    parser.add_argument("--height", type=int, default=128, help="of the images, in pixels")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--distinct", type=int, default=300, help="images drawn, then reused")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    options = (args.out, args.height, args.width, args.distinct, args.seed)
    try:
        if args.dataset == "cuhk03":
            if args.lists is None:
                raise UserError("--lists is needed for cuhk03: its protocol file names the images")
            args.out.mkdir(parents=True, exist_ok=True)
            write_cuhk03(args.lists, *options)
        elif args.lists is not None:
            if args.dataset not in _LISTS:
                raise UserError(f"--lists is read for {', '.join(_LISTS)} and cuhk03; leave it out")
            write_tree(args.dataset, args.lists, *options)
        else:
            layout = layout_of(args.dataset)
            write_published(layout, layout.published(layout.options()) or {}, *options)
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
