"""Market-1501 (Zheng et al., ICCV 2015) as it lies on disk.

`bounding_box_train/`, `query/` and `bounding_box_test/` hold files named
`<pid>_c<camera>s<sequence>_<frame>_<detection>.jpg`; pid `-1` is junk (a wrong detection that is
left out of every ranking) and `0000` a distractor. A few published names end in `.jpg.jpg`.
1,501 identities, six cameras: 12,936 training images of 751, 3,368 queries of 750, and 19,732
gallery images, of which 3,819 are junk and 2,798 distractors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from crgan.common.errors import UserError
from crgan.data import named_folders
from crgan.data.counts import SplitCount
from crgan.data.entries import DISTRACTOR_PID, JUNK_PID, Listing
from crgan.data.layout import Layout

NAME = re.compile(r"(?P<pid>-1|\d{4})_c(?P<camid>[1-9])s\d+_\d+_\d+(\.jpe?g)+", re.IGNORECASE)
RULE = "<pid>_c<camera>s<sequence>_<frame>_<detection>.jpg, such as 0002_c1s1_000451_03.jpg"
PUBLISHED = {
    "train": SplitCount(751, (2017, 1709, 2707, 920, 2338, 3245)),
    "query": SplitCount(750, (668, 530, 717, 248, 622, 583)),
    "gallery": SplitCount(750, (3156, 2944, 3803, 1671, 3814, 4344), 3819, 2798),
}


@dataclass(frozen=True)
class Options:
    """What the parameters may say of Market-1501.

    Attributes:
        attributes: market_attribute.mat; None looks in the data set's folder.
    """

    attributes: str | None = None


def load(source: Path, options: Options | None = None, name: str = "market1501") -> Listing:
    """List Market-1501 below `source`; with attributes when their file is there or given.

    Raises:
        UserError: a folder is missing, the attribute file cannot be used, or 0000 and -1 stand
            where only people can.
    """
    listing = named_folders.load(name, source, NAME, RULE)
    if misplaced := [e.path for e in listing.entries if e.split != "gallery" and e.pid <= 0]:
        raise UserError(
            f"{name}: {len(misplaced)} training and query images are of 0000 or -1 (for example "
            f"{misplaced[0]}), which mean distractor and junk in Market-1501; for people of your "
            "own that are numbered from 0 set layout: market_style"
        )
    given = (options or Options()).attributes
    table = named_folders.attribute_table(listing.root, "market_attribute", given)
    return replace(listing, attributes=table)


def _stand_in(split: str, pid: int, camid: int, number: int) -> str:
    folder = {split: name for name, split in named_folders.FOLDERS.items()}[split]
    person = {JUNK_PID: "-1", DISTRACTOR_PID: "0000"}.get(pid, f"{pid:04d}")
    return f"{folder}/{person}_c{camid}s1_{number:06d}_01.jpg"


LAYOUT = Layout(
    label="Market-1501",
    how_to_get="Market-1501: from its authors' page (L. Zheng et al., ICCV 2015), as "
    "Market-1501-v15.09.15.zip",
    load=load,
    options=Options,
    published=lambda options: PUBLISHED,
    generated=True,
    stand_in=_stand_in,
)
