"""One's own data in the form of Market-1501: three folders, labels in the file names.

`bounding_box_train/`, `query/` and `bounding_box_test/` hold files named
`<pid>_c<camera>[s<sequence>][_<anything>].jpg` (or another image). Any number of digits, of cameras
and of people; 0 is a person like any other, and there is neither junk nor a distractor: people who
are only in the gallery are distractors by themselves. Inside the project people are numbered one
higher than on disk. Cameras whose names have letters (`_cdoor_`) are numbered by a file, `cameras`
in the parameters, with a line `<name> <number>` each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from crgan.common.errors import UserError
from crgan.data import named_folders
from crgan.data.entries import IMAGE_SUFFIXES, Listing
from crgan.data.layout import Layout

_SUFFIX = "|".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
_REST = rf"(s\d+)?(_[^/]*?)?(\.({_SUFFIX}))+"
NAME = re.compile(rf"(?P<pid>\d{{1,9}})_c(?P<camid>\d{{1,4}}){_REST}", re.IGNORECASE)
NAMED = re.compile(
    rf"(?P<pid>\d{{1,9}})_c(?P<camid>[^_/]+?)(_[^/]*?)?(\.({_SUFFIX}))+", re.IGNORECASE
)
RULE = "<pid>_c<camera>_<anything>.jpg, such as 12_c3_0001.jpg (pids and cameras of any digits)"


@dataclass(frozen=True)
class Options:
    """What the parameters may say of data in this form.

    Attributes:
        cameras: file with a line `<name> <number>` for each camera, numbers from 1; for cameras
            that are not numbered in the file names.
    """

    cameras: str | None = None


def load(source: Path, options: Options | None = None, name: str = "mysite") -> Listing:
    """List the three folders below `source`.

    Raises:
        UserError: a folder is missing, or the file of cameras cannot be used.
    """
    given = (options or Options()).cameras
    if given is None:
        return named_folders.load(name, source, NAME, RULE, _numbered, natural_order=True)
    known = _read_cameras(Path(given))

    def named(match: re.Match[str], split: str) -> tuple[int, int]:
        if match["camid"] not in known:
            raise ValueError(match["camid"])
        return int(match["pid"]) + 1, known[match["camid"]]

    shown = ", ".join(list(known)[:8])
    rule = f"<pid>_c<camera>_<anything>.jpg with the cameras of {given} ({shown})"
    return named_folders.load(name, source, NAMED, rule, named, natural_order=True)


def _numbered(match: re.Match[str], split: str) -> tuple[int, int]:
    camid = int(match["camid"])
    if camid < 1:
        raise ValueError("camera 0")  # cameras count from 1; number them by a file
    return int(match["pid"]) + 1, camid


def _read_cameras(path: Path) -> dict[str, int]:
    if not path.is_file():
        raise UserError(f"{path}: no such file of cameras; write a line `<name> <number>` for each")
    known: dict[str, int] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as text ({error})") from None
    for row, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        camera, _, number = text.rpartition(" ")
        camera = camera.strip()
        if not camera or camera in known or not re.fullmatch("[1-9][0-9]{0,3}", number):
            raise UserError(
                f"{path}, line {row}: {line[:60]!r}; write `<name> <number>`, numbers from 1, each "
                "camera once"
            )
        known[camera] = int(number)
    if not known:
        raise UserError(f"{path}: no camera in it; write a line `<name> <number>` for each")
    return known


def _stand_in(split: str, pid: int, camid: int, number: int) -> str:
    folder = {split: name for name, split in named_folders.FOLDERS.items()}[split]
    return f"{folder}/{pid - 1}_c{camid}_{number}.jpg"


LAYOUT = Layout(
    label="own data, Market-1501's form",
    how_to_get="your own labelled crops, as <site>/{bounding_box_train,query,bounding_box_test}/"
    "<pid>_c<camera>_<anything>.jpg",
    load=load,
    options=Options,
    stand_in=_stand_in,
)
