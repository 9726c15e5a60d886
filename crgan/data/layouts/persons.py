"""Anyone's own labelled crops: a folder per person, the camera at the start of the file names.

`<person>/<camera>_*.jpg`, or the same below `train/`, `query/` and `gallery/`; without these, every
image is a training image. Persons and cameras may have any names; they are numbered from 1 in the
natural order of these, through all splits. A camera's name ends at the first `_`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.data.entries import (
    SPLITS,
    Entry,
    FilePixels,
    Listing,
    in_natural_order,
    is_image,
    no_file,
    numbered,
    visible,
)
from crgan.data.layout import Layout

RULE = "<person>/<camera>_<anything>.jpg, such as anna/door_0001.jpg"


def load(source: Path, options: Any = None, name: str = "mypeople") -> Listing:
    """List the persons of a folder, or of its splits.

    Raises:
        UserError: no folder, or no image by the rule.
    """
    root = Path(source)
    if not root.is_dir():
        raise UserError(f"{name}: {root} is no folder; put crops under {root}/<person>/<camera>_*")
    folders = {item.name for item in visible(root) if item.is_dir()}
    split_of = {"": "train"} if not folders & {"query", "gallery"} else {s: s for s in SPLITS}
    if "" not in split_of and (odd := sorted(folders - set(SPLITS))):
        raise UserError(
            f"{name}: {root} has {odd[0]} beside {', '.join(sorted(folders & set(SPLITS)))}; put "
            f"every person into one of {', '.join(SPLITS)}"
        )
    if folders == {"train"}:
        split_of = {"train": "train"}
    found: list[tuple[str, str, str, str]] = []  # path, person, camera, split
    strangers: list[str] = []
    for folder, split in split_of.items():
        base = root / folder if folder else root
        for person in visible(base) if base.is_dir() else ():
            above = f"{folder}/{person.name}" if folder else person.name
            reason = no_file(person)
            if reason != "a folder":
                if reason or is_image(person.name):
                    strangers.append(f"{above} ({reason})" if reason else above)
                continue
            for item in visible(Path(person.path)):
                path, reason = f"{above}/{item.name}", no_file(item)
                camera, separator, _ = item.name.partition("_")
                if reason or not (camera and separator and is_image(item.name)):
                    strangers.append(f"{path} ({reason})" if reason else path)
                else:
                    found.append((path, person.name, camera, split))
    if not found:
        shown = f" and holds {', '.join(strangers[:3])}" if strangers else ""
        raise UserError(f"{name}: {root} has no image by this layout's rule{shown}; it is {RULE}")
    pids = numbered(person for _, person, _, _ in found)
    camids = numbered(camera for _, _, camera, _ in found)
    entries = [Entry(path, pids[who], camids[camera], s) for path, who, camera, s in found]
    ordered = in_natural_order(entries)
    return Listing(name, root, ordered, tuple(strangers), FilePixels(root), rule=RULE)


def _stand_in(split: str, pid: int, camid: int, number: int) -> str:
    return f"{split}/person{pid}/cam{camid}_{number}.jpg"


LAYOUT = Layout(
    label="own people",
    how_to_get="your own labelled crops, as <person>/<camera>_*.jpg, for a target below train/, "
    "query/ and gallery/",
    load=load,
    stand_in=_stand_in,
)
