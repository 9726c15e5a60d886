"""DukeMTMC-reID (Ristani et al. 2016; Zheng et al., ICCV 2017) as it lies on disk.

The folders of Market-1501, with files named `<pid>_c<camera>_f<frame>.jpg` and no junk.
Eight cameras: 16,522 training images of 702 identities, 2,228 queries of 702, and 17,661 gallery
images of 1,110, of which 408 are distractors without a query. The set has been withdrawn by its
authors: it is read from the user's own copy and never downloaded.
"""

from __future__ import annotations

import re
from pathlib import Path

from crgan.data import named_folders
from crgan.data.entries import Listing

NAME = re.compile(r"(?P<pid>\d{4})_c(?P<camid>[1-9])_f\d+(\.jpe?g)+", re.IGNORECASE)
ATTRIBUTES = "duke_attribute"


def load(
    source: str | Path, attributes: str | Path | None = None, name: str = "dukemtmc"
) -> Listing:
    """List DukeMTMC-reID below `source`; with attributes when their file is there or given.

    Raises:
        UserError: a folder is missing, or the attribute file cannot be used.
    """
    given = Path(attributes) if attributes else None
    return named_folders.load(name, Path(source), NAME, ATTRIBUTES, given)
