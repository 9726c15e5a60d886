"""MSMT17 (Wei et al., CVPR 2018), versions 1 and 2, as it lies on disk.

Four lists (`list_train.txt`, `list_val.txt`, `list_query.txt`, `list_gallery.txt`) hold lines of
`<pid>/<pid>_<image>_<camera>_<time>_<frame>_<box>.jpg <pid>`. The images of the first two lie in
`train/` (version 2: `mask_train_v2/`), of the others in `test/` (`mask_test_v2/`). Version 2 hides
faces and is the same otherwise.

15 cameras: 32,621 images of 1,041 identities to train (30,248 of `list_train.txt` and the 2,373 of
`list_val.txt`, which are of the same people; the paper counts them together), 11,659 queries and
82,161 gallery images of 3,060. Both halves number their people from 0: here the training people
are 1 to 1,041, and those of the test set follow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crgan.common.errors import UserError
from crgan.data.counts import SplitCount
from crgan.data.entries import Entry, FilePixels, Listing, find_root, in_order, no_file, visible
from crgan.data.layout import Layout

NAME = re.compile(r"(?P<folder>\d{4})/\d+_\d+_(?P<camid>\d+)_[^/]*\.jpe?g", re.IGNORECASE)
RULE = "<pid>/<pid>_<image>_<camera>_<time>_<frame>_<box>.jpg <pid>"
LISTS = {"train": "list_train.txt", "val": "list_val.txt", "query": "list_query.txt",
         "gallery": "list_gallery.txt"}  # fmt: skip
VERSIONS = (("train", "test"), ("mask_train_v2", "mask_test_v2"))
_VAL = SplitCount(
    1041, (406, 10, 38, 92, 329, 101, 237, 57, 80, 40, 223, 110, 225, 343, 82)
)  # fmt: skip
_TRAIN = SplitCount(
    1041, (4504, 193, 416, 1522, 3967, 1577, 3216, 738, 1316, 615, 2931, 1254, 3410, 3533, 1056)
)  # fmt: skip
_TEST = {
    "query": SplitCount(
        3060, (1882, 78, 186, 480, 1689, 524, 1202, 302, 445, 294, 1007, 381, 1246, 1511, 432)
    ),
    "gallery": SplitCount(
        3060,
        (
            12368, 613, 1319, 3440, 11018, 4159, 8199, 2235, 3377, 1958, 7571, 3136, 9068, 10310,
            3390,
        ),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """What the parameters may say of MSMT17.

    Attributes:
        validation: train on the images of list_val.txt too, as the paper counts.
    """

    validation: bool = True


def published(options: Options) -> dict[str, SplitCount]:
    """Counts of the released lists; the same in both versions."""
    pairs = zip(_TRAIN.cameras, _VAL.cameras, strict=True)
    both = SplitCount(_TRAIN.ids, tuple(t + v for t, v in pairs))
    return {"train": both if options.validation else _TRAIN, **_TEST}


def load(source: Path, options: Options | None = None, name: str = "msmt17") -> Listing:
    """List MSMT17 below `source`.

    Raises:
        UserError: a folder or list is missing, a line is not understood, or a listed image is not
            there.
    """
    options = options or Options()
    root, folders = _root(source, name)
    entries: list[Entry] = []
    strangers: list[str] = []
    last = 0  # of the training people
    for part, list_name in LISTS.items():
        if part == "val" and not options.validation:
            continue
        testing = part in ("query", "gallery")
        rows = _read(root / list_name, name)
        if not testing:
            last = max(last, *(pid + 1 for _, pid, _ in rows))
        for path, pid, camid in rows:
            split = part if testing else "train"
            shift = 1 + last if testing else 1
            entries.append(Entry(f"{folders[testing]}/{path}", pid + shift, camid, split))
    listed = {entry.path for entry in entries}
    found: set[str] = set()
    for folder in folders:
        images, odd = _scan(root, folder)
        found |= images
        strangers += odd
    if missing := sorted(listed - found):
        raise UserError(
            f"{name}: {len(missing):,} of the {len(listed):,} listed images are not in {root} (for "
            f"example {', '.join(missing[:3])}); copy the whole data set"
        )
    if options.validation:
        strangers += sorted(found - listed)
    rule = f"images that one of {', '.join(LISTS.values())} names"
    return Listing(name, root, in_order(entries), tuple(strangers), FilePixels(root), rule=rule)


def _root(source: Path, name: str) -> tuple[Path, tuple[str, str]]:
    """The folder with the lists, and the names of its training and test folders."""
    root = find_root(source, tuple(LISTS.values()), name)
    for folders in VERSIONS:
        if all((root / folder).is_dir() for folder in folders):
            return root, folders
    wanted = " nor ".join(" and ".join(folders) for folders in VERSIONS)
    raise UserError(f"{name}: {root} has neither {wanted}; copy the whole data set")


def _read(path: Path, name: str) -> list[tuple[str, int, int]]:
    """(path below its folder, pid, camid) of each line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a readable list ({error}); copy it again") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        image, _, pid = line.strip().rpartition(" ")
        match = NAME.fullmatch(image)
        if match is None or not re.fullmatch("[0-9]{1,6}", pid) or int(match["camid"]) < 1:
            raise UserError(
                f"{name}: {path}, line {number}: {line[:80]!r} is not understood; lines read {RULE}"
            )
        rows.append((image, int(pid), int(match["camid"])))
    if not rows:
        raise UserError(f"{path}: no line in it; copy it again")
    return rows


def _scan(root: Path, folder: str) -> tuple[set[str], list[str]]:
    """The files of a folder's folders, and what else lies there."""
    images: set[str] = set()
    odd: list[str] = []
    for person in visible(root / folder):
        if not person.is_dir():
            odd.append(f"{folder}/{person.name}")
            continue
        for item in visible(Path(person.path)):
            path = f"{folder}/{person.name}/{item.name}"
            reason = no_file(item)
            if reason:
                odd.append(f"{path} ({reason})")
            else:
                images.add(path)
    return images, odd


def _stand_in(split: str, pid: int, camid: int, number: int) -> str:
    """Test people follow the training people here, and have numbers of their own there."""
    train = split == "train"
    person = pid - 1 if train else pid - 1 - _TRAIN.ids
    folder = "train" if train else "test"
    return f"{folder}/{person:04d}/{person:04d}_{number:06d}_{camid:02d}_0303morning_0000_0.jpg"


def _lists(entries: Sequence[Entry]) -> dict[str, str]:
    """The four lists of stand-ins: name -> text."""
    lines: dict[str, list[str]] = {name: [] for name in LISTS.values()}
    for entry in entries:
        path = entry.path.split("/", 1)[1]
        lines[LISTS[entry.split]].append(f"{path} {int(path[:4])}\n")
    train = lines[LISTS["train"]]
    held = round(len(train) * _VAL.images / (_VAL.images + _TRAIN.images))
    lines[LISTS["val"]], lines[LISTS["train"]] = train[:held], train[held:]
    return {name: "".join(found) for name, found in lines.items()}


LAYOUT = Layout(
    label="MSMT17",
    how_to_get="MSMT17: on request from its authors (L. Wei et al., CVPR 2018), as MSMT17_V1 or "
    "MSMT17_V2 with its four lists",
    load=load,
    options=Options,
    published=published,
    stand_in=_stand_in,
    stand_in_lists=_lists,
)
