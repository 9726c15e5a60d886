"""DukeMTMC-reID (Ristani et al. 2016; Zheng et al., ICCV 2017) as it lies on disk.

The folders of Market-1501, with files named `<pid>_c<camera>_f<frame>.jpg` and no junk.
Eight cameras: 16,522 training images of 702 identities, 2,228 queries of 702, and 17,661 gallery
images of 1,110, of which 408 are distractors without a query. The set has been withdrawn by its
authors: it is read from the user's own copy and never downloaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from crgan.data import named_folders
from crgan.data.counts import SplitCount
from crgan.data.entries import Listing
from crgan.data.layout import Layout

NAME = re.compile(r"(?P<pid>\d{4})_c(?P<camid>[1-9])_f\d+(\.jpe?g)+", re.IGNORECASE)
RULE = "<pid>_c<camera>_f<frame>.jpg, such as 0001_c2_f0046182.jpg"
PUBLISHED = {
    "train": SplitCount(702, (2809, 3009, 1088, 1395, 1685, 3700, 1330, 1506)),
    "query": SplitCount(702, (413, 383, 190, 155, 216, 369, 239, 263)),
    "gallery": SplitCount(1110, (2704, 2798, 828, 1139, 1209, 3308, 1255, 4420)),
}
_PERSON_ZERO = 10_000  # a person like any other here; the published set has none, names four digits


@dataclass(frozen=True)
class Options:
    """What the parameters may say of DukeMTMC-reID.

    Attributes:
        attributes: duke_attribute.mat; None looks in the data set's folder.
    """

    attributes: str | None = None


def load(source: Path, options: Options | None = None, name: str = "dukemtmc") -> Listing:
    """List DukeMTMC-reID below `source`; with attributes when their file is there or given.

    Raises:
        UserError: a folder is missing, or the attribute file cannot be used.
    """
    listing = named_folders.load(name, source, NAME, RULE, _labels)
    given = (options or Options()).attributes
    table = named_folders.attribute_table(listing.root, "duke_attribute", given)
    return replace(listing, attributes=table)


def _labels(match: re.Match[str], split: str) -> tuple[int, int]:
    return int(match["pid"]) or _PERSON_ZERO, int(match["camid"])


def _stand_in(split: str, pid: int, camid: int, number: int) -> str:
    folder = {split: name for name, split in named_folders.FOLDERS.items()}[split]
    return f"{folder}/{pid:04d}_c{camid}_f{number:07d}.jpg"


LAYOUT = Layout(
    label="DukeMTMC-reID",
    how_to_get="DukeMTMC-reID: withdrawn by its authors, no longer offered; only a copy you "
    "already hold, used under its licence",
    load=load,
    options=Options,
    published=lambda options: PUBLISHED,
    not_downloaded="DukeMTMC-reID is not downloaded. Its authors withdrew it in 2019 over the "
    "privacy of the people in it; set source to a copy you already hold",
    generated=True,
    stand_in=_stand_in,
)
