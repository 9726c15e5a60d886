"""Market-1501 (Zheng et al., ICCV 2015) as it lies on disk.

`bounding_box_train/`, `query/` and `bounding_box_test/` hold files named
`<pid>_c<camera>s<sequence>_<frame>_<detection>.jpg`; pid `-1` is junk (a wrong detection that is
left out of every ranking) and `0000` a distractor. A few published names end in `.jpg.jpg`.
1,501 identities, six cameras: 12,936 training images of 751, 3,368 queries of 750, and 19,732
gallery images, of which 3,819 are junk and 2,798 distractors.
"""

from __future__ import annotations

import re
from pathlib import Path

from crgan.data import named_folders
from crgan.data.entries import Listing

NAME = re.compile(r"(?P<pid>-1|\d{4})_c(?P<camid>[1-9])s\d+_\d+_\d+(\.jpe?g)+", re.IGNORECASE)
ATTRIBUTES = "market_attribute"


def load(
    source: str | Path, attributes: str | Path | None = None, name: str = "market1501"
) -> Listing:
    """List Market-1501 below `source`; with attributes when their file is there or given.

    Raises:
        UserError: a folder is missing, or the attribute file cannot be used.
    """
    given = Path(attributes) if attributes else None
    return named_folders.load(name, Path(source), NAME, ATTRIBUTES, given)
