"""Anyone's own cameras: `<site>/<camera>/*.jpg`, crops of people without labels.

A camera's images may lie in folders of their own (days, hours), as deep as one likes. Every image
is a training image of nobody known; cameras are numbered from 1 in the natural order of their
folders' names (cam2 before cam10). Enough for a target domain: CR-GAN reads no target identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.data.entries import (
    UNLABELLED_PID,
    Entry,
    FilePixels,
    Listing,
    in_natural_order,
    is_image,
    natural,
    no_file,
    visible,
)
from crgan.data.layout import Layout

RULE = "images (.jpg, .jpeg, .png, .bmp, .webp) in a folder per camera; of videos, cut out crops"


def load(source: Path, options: Any = None, name: str = "mysite") -> Listing:
    """List the camera folders of a site.

    Files beside the camera folders are none of ours; inside them, what is not an image by its
    suffix is a stranger.

    Raises:
        UserError: no camera folder, images outside one, a link to nothing, or an empty folder.
    """
    root = Path(source)
    if not root.is_dir():
        raise UserError(f"{name}: {root} is no folder; put crops under {root}/<camera>/*.jpg")
    items = visible(root)
    loose = [item.name for item in items if item.is_file() and is_image(item.name)]
    if loose:
        raise UserError(
            f"{name}: {len(loose)} images lie in {root} itself ({loose[0]}, ...); "
            "put them into a folder per camera, as <site>/<camera>/*.jpg"
        )
    if lost := [item.name for item in items if item.is_symlink() and no_file(item) not in
                (None, "a folder")]:  # fmt: skip
        raise UserError(
            f"{name}: {', '.join(lost)} in {root} lead nowhere; mend the links, or remove them"
        )
    cameras = sorted((item.name for item in items if item.is_dir()), key=natural)
    if not cameras:
        raise UserError(
            f"{name}: no camera folder in {root}; put crops under {root}/<camera>/*.jpg"
        )
    entries: list[Entry] = []
    strangers: list[str] = []
    for camid, camera in enumerate(cameras, start=1):
        before = len(entries), len(strangers)
        for path, reason in _below(root, camera, frozenset()):
            if reason is None and is_image(path):
                entries.append(Entry(path, UNLABELLED_PID, camid, "train"))
            else:
                strangers.append(f"{path} ({reason})" if reason else path)
        if len(entries) == before[0]:
            others = strangers[before[1] :]
            seen = f", only {', '.join(others[:3])}; it takes {RULE}" if others else ""
            raise UserError(
                f"{name}: camera folder {root / camera} holds no image{seen}; fill or remove it"
            )
    ordered = in_natural_order(entries)
    return Listing(name, root, ordered, tuple(strangers), FilePixels(root), rule=RULE)


def _below(
    root: Path, folder: str, above: frozenset[tuple[int, int]]
) -> Iterator[tuple[str, str | None]]:
    """(path, why it is no file) of all that lies below a folder, folders left out.

    `above` are the folders on the way down: a link back to one of them would have no end.
    """
    about = (root / folder).stat()
    place = (about.st_dev, about.st_ino)
    if place in above:
        yield folder, "leads back to a folder above it"
        return
    for item in visible(root / folder):
        path, reason = f"{folder}/{item.name}", no_file(item)
        if reason == "a folder":
            yield from _below(root, path, above | {place})
        else:
            yield path, reason


LAYOUT = Layout(
    label="own cameras",
    how_to_get="your own crops, as <site>/<camera>/*.jpg",
    load=load,
    stand_in=lambda split, pid, camid, number: f"cam{camid}/{number}.jpg",
)
