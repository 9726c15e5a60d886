"""CUHK03 by the 767/700 protocol (CUHK03-NP; Zhong et al., CVPR 2017), as folders of images.

`detected/` and `labeled/` each hold Market-1501's three folders, with files named
`<pid>_c<view>_<image>.png`. Detected: 7,365 training images of 767 identities, 1,400 queries and
5,332 gallery images of 700; labeled, with boxes drawn by hand: 7,368, 1,400 and 5,328. Both number
the same 1,467 people.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crgan.common.errors import UserError
from crgan.data import named_folders
from crgan.data.counts import SplitCount
from crgan.data.entries import Listing, find_root
from crgan.data.layout import Layout

NAME = re.compile(r"(?P<pid>\d{4})_c(?P<camid>[12])_f?\d+\.(png|jpe?g)", re.IGNORECASE)
RULE = "<pid>_c<view>_<image>.png, such as 0001_c1_1.png"
PUBLISHED = {
    "detected": {
        "train": SplitCount(767, (3601, 3764)),
        "query": SplitCount(700, (700, 700)),
        "gallery": SplitCount(700, (2617, 2715)),
    },
    "labeled": {
        "train": SplitCount(767, (3607, 3761)),
        "query": SplitCount(700, (700, 700)),
        "gallery": SplitCount(700, (2615, 2713)),
    },
}


@dataclass(frozen=True)
class Options:
    """What the parameters may say of CUHK03-NP.

    Attributes:
        boxes: `detected` by a detector, the harder and usual version, or `labeled` by hand.
    """

    boxes: Literal["detected", "labeled"] = "detected"


def load(source: Path, options: Options | None = None, name: str = "cuhk03_np") -> Listing:
    """List one version of CUHK03-NP below `source`, or the version whose folder `source` is.

    Raises:
        UserError: a folder is missing.
    """
    boxes = (options or Options()).boxes
    if not (source / next(iter(named_folders.FOLDERS))).exists():
        source = find_root(source, (boxes,), name) / boxes
    elif source.name in PUBLISHED and source.name != boxes:
        raise UserError(f"{name}: {source} is the other version; set boxes: {source.name}")
    return named_folders.load(name, source, NAME, RULE)


def _stand_in(split: str, pid: int, camid: int, number: int) -> str:
    folder = {split: name for name, split in named_folders.FOLDERS.items()}[split]
    return f"{folder}/{pid:04d}_c{camid}_{number}.png"


LAYOUT = Layout(
    label="CUHK03-NP",
    how_to_get="CUHK03-NP: linked from the page of its protocol's authors (Z. Zhong et al., CVPR "
    "2017), as folders detected/ and labeled/",
    load=load,
    options=Options,
    published=lambda options: PUBLISHED[options.boxes],
    stand_in=_stand_in,
)
