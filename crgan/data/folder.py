"""Anyone's own cameras: `<site>/<camera>/*.jpg`, crops of people without labels.

Every image is a training image of pid -2 (unlabelled); cameras are numbered from 1 in the sorted
order of their folders' names. Enough for a target domain: CR-GAN reads no target identity.
"""

from __future__ import annotations

from pathlib import Path

from crgan.common.errors import UserError
from crgan.data.entries import (
    IMAGE_SUFFIXES,
    UNLABELLED_PID,
    Entry,
    FilePixels,
    Listing,
    in_order,
    visible,
)


def load(source: str | Path, name: str) -> Listing:
    """List the camera folders of a site.

    Files beside the camera folders are none of ours; inside them, what is not an image by its
    suffix is a stranger.

    Raises:
        UserError: no camera folder, images outside one, or an empty one.
    """
    root = Path(source)
    if not root.is_dir():
        raise UserError(f"{name}: {root} is no folder; put crops under {root}/<camera>/*.jpg")
    items = visible(root)
    loose = [item.name for item in items if item.is_file() and _is_image(item.name)]
    if loose:
        raise UserError(
            f"{name}: {len(loose)} images lie in {root} itself ({loose[0]}, ...); "
            "put them into a folder per camera, as <site>/<camera>/*.jpg"
        )
    cameras = [item.name for item in items if item.is_dir()]
    if not cameras:
        raise UserError(
            f"{name}: no camera folder in {root}; put crops under {root}/<camera>/*.jpg"
        )
    entries: list[Entry] = []
    strangers: list[str] = []
    for camid, camera in enumerate(cameras, start=1):
        before = len(entries)
        for item in visible(root / camera):
            path = f"{camera}/{item.name}"
            if item.is_dir() or not _is_image(item.name):
                strangers.append(path)
            else:
                entries.append(Entry(path, UNLABELLED_PID, camid, "train"))
        if len(entries) == before:
            raise UserError(
                f"{name}: camera folder {root / camera} holds no image; fill or remove it"
            )
    return Listing(name, root, in_order(entries), tuple(strangers), FilePixels(root))


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)
