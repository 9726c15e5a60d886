"""An image of the demo benchmark to look at: a row per camera, images above their true masks.

python -m crgan.looks.synth --out sheet.png demo/market1501 demo/dukemtmc demo/cuhk03
python -m crgan.looks.synth --people 6 --out sheet.png demo/market1501  # a row a person instead
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from crgan.common.errors import UserError
from crgan.common.hdf5 import open_hdf5
from crgan.common.io import atomic_path, read_json
from crgan.masks.truth import true_masks
from crgan.synth.benchmark import MARKER
from crgan.synth.shoot import Mask, Pixels

_TILE = (128, 64)  # height, width of an image in the sheet
_MARGIN = 116  # pixels for the row's name
_DEMO = ("a file of the demo", "generate the demo again")
_CAMERA = re.compile(r"_c(\d)")


def _jpeg_rows(root: Path) -> dict[str, list[str]]:
    """Row name -> image paths: training images by camera, then junk and distractors."""
    rows: dict[str, list[str]] = {}
    for path in sorted(root.glob("bounding_box_train/*.jpg")):
        match = _CAMERA.search(path.name)
        if match:
            rows.setdefault(f"camera {match[1]}", []).append(f"bounding_box_train/{path.name}")
    for name, start in (("junk", "-1_"), ("distractors", "0000_")):
        found = sorted(root.glob(f"bounding_box_test/{start}*.jpg"))
        if found:
            rows[name] = [f"bounding_box_test/{path.name}" for path in found]
    return dict(sorted(rows.items()))


def _mat_rows(root: Path) -> dict[str, list[str]]:
    """Row name -> pseudo paths of detected images, by view."""
    with open_hdf5(root / "true_masks.h5", *_DEMO) as file:
        names = sorted(name.decode() for name in file["path"][:])
    rows: dict[str, list[str]] = {}
    for name in names:
        if name.startswith("detected/"):
            rows.setdefault(f"view {name.split('_')[2]}", []).append(name)
    return rows


def _person_rows(rows: dict[str, list[str]], people: int) -> dict[str, list[str]]:
    """Pid -> image paths, of the first so many people in rows by camera or view."""
    found: dict[str, list[str]] = {}
    for path in sorted(path for name, row in rows.items() for path in row if " " in name):
        name = Path(path).stem.split("_")
        pid = name[0] if path.startswith("bounding") else "_".join(name[:2])
        found.setdefault(pid, []).append(path)
    return {f"person {pid}": found[pid] for pid in list(found)[:people]}


def _read(root: Path, paths: Sequence[str]) -> list[Pixels]:
    if not (root / "cuhk-03.mat").is_file():
        images = [cv2.imread(str(root / path), cv2.IMREAD_COLOR) for path in paths]
        return [np.asarray(image, np.uint8)[..., ::-1] for image in images]
    found = []
    with open_hdf5(root / "cuhk-03.mat", *_DEMO) as file:
        for path in paths:
            pair, person, _, slot = Path(path).stem.split("_")
            cells = file[file["detected"][0, int(pair) - 1]]
            found.append(file[cells[int(slot) - 1, int(person) - 1]][:].T)
    return found


def _tile(image: Pixels, mask: Mask) -> Pixels:
    """An image above itself with the background greyed out."""
    size = _TILE[::-1]
    shown = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
    share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)[..., None]
    cut = np.asarray(shown) * share + 110.0 * (1 - share)
    return np.concatenate([np.asarray(shown), cut]).astype(np.uint8)


def _strip(root: Path, label: str, paths: Sequence[str], columns: int) -> Pixels:
    """One row: its name, then evenly spread images."""
    picks = [paths[k] for k in np.linspace(0, len(paths) - 1, columns).round().astype(int)]
    pairs = zip(_read(root, picks), true_masks(root, picks), strict=True)
    tiles = [_tile(image, mask) for image, mask in pairs]
    name = np.full((2 * _TILE[0], _MARGIN, 3), 255, np.uint8)
    for line, text in enumerate((root.name, label)):
        cv2.putText(name, text, (6, 30 + 22 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1,
                    cv2.LINE_AA)  # fmt: skip
    return np.concatenate([name, *tiles], axis=1)


def contact_sheet(
    roots: Sequence[str | Path], out: str | Path, columns: int = 16, people: int = 0
) -> None:
    """Write a PNG with a row for each camera of each generated data set.

    Args:
        roots: Folders made by `generate`.
        out: The PNG.
        columns: Images a row.
        people: Where above 0, a row for each of so many training people instead.

    Raises:
        UserError: a folder is not a demo data set.
    """
    strips = []
    for root in map(Path, roots):
        marker = read_json(root / MARKER)
        if not isinstance(marker, dict) or "renderer" not in marker:
            raise UserError(f"{root / MARKER}: not written by the demo benchmark")
        rows = _mat_rows(root) if marker["dataset"] == "cuhk03" else _jpeg_rows(root)
        rows = _person_rows(rows, people) if people else rows
        strips += [_strip(root, label, paths, columns) for label, paths in rows.items()]
    with atomic_path(out) as temporary:
        if not cv2.imwrite(str(temporary), np.concatenate(strips)[..., ::-1]):
            raise UserError(f"{out}: cannot be written as an image; name it .png")


def main() -> int:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Contact sheet of generated data sets.")
    parser.add_argument("roots", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--columns", type=int, default=16)
    parser.add_argument("--people", type=int, default=0, help="rows of people, not of cameras")
    arguments = parser.parse_args()
    try:
        contact_sheet(arguments.roots, arguments.out, arguments.columns, arguments.people)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
