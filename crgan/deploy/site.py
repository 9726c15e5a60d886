"""A first look at a folder of one's own cameras: what is wrong with it, said within a second."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from crgan.common.errors import UserError
from crgan.data.entries import IMAGE_SUFFIXES, natural, visible
from crgan.deploy.listing import list_images

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".mpg", ".mpeg", ".m4v", ".ts", ".webm", ".flv", ".wmv")
LEAST = 40  # images in all: batches and neighbourhoods need them
LEAST_OF_CAMERA = 8
_LOOKED_AT = 200  # images whose size is read
_SHORTEST = 16  # pixels of a crop's shorter side
_LAYOUT = "<folder>/<camera>/*.jpg, crops of one person each"


@dataclass(frozen=True)
class Site:
    """A folder that can be adapted to; `cameras`: name -> number of images.

    Cameras stand in the order of their numbers from 1, that of `crgan.data.layouts.folder`.
    """

    root: Path
    cameras: dict[str, int]

    @property
    def images(self) -> int:
        return sum(self.cameras.values())


def look_at(root: str | Path) -> Site:
    """Check a folder of camera folders, by names and by the sizes of some images.

    Raises:
        UserError: what is wrong, and what to do.
    """
    root = Path(root)
    if not root.is_dir():
        what = "is a file; unpack it first" if root.is_file() else "is not there"
        raise UserError(f"{root} {what}: name a folder that holds {_LAYOUT}")
    videos = [p for p in root.rglob("*") if p.suffix.lower() in VIDEOS]
    try:
        names = list(list_images(root))
    except UserError:
        if videos:
            raise UserError(_about_videos(root, videos)) from None
        raise UserError(
            f"{root} holds no image ({', '.join(IMAGE_SUFFIXES)}): put in {_LAYOUT}"
        ) from None
    if videos:
        raise UserError(_about_videos(root, videos))
    loose = [name for name in names if "/" not in name]
    if loose:
        raise UserError(
            f"{root} holds {len(loose)} images beside its camera folders ({loose[0]}, ...): "
            f"move each into the folder of its camera, {_LAYOUT}"
        )
    counts = Counter(name.partition("/")[0] for name in names)
    empty = [item.name for item in visible(root) if item.is_dir() and item.name not in counts]
    if empty:
        raise UserError(f"{root}: folder {empty[0]!r} holds no image; fill or remove it")
    cameras = {camera: counts[camera] for camera in sorted(counts, key=natural)}
    if len(cameras) < 2:
        raise UserError(
            f"{root} has one camera, {next(iter(cameras))!r}: matching people between cameras "
            f"needs two and more; put each camera's images into a folder of its own, {_LAYOUT}"
        )
    few = {camera: count for camera, count in cameras.items() if count < LEAST_OF_CAMERA}
    if few or len(names) < LEAST:
        told = ", ".join(f"{camera}: {count}" for camera, count in (few or cameras).items())
        raise UserError(
            f"{root} has too few images ({told}): at least {LEAST_OF_CAMERA} of each camera and "
            f"{LEAST} in all are needed, some thousands do well; add crops, or remove the camera"
        )
    _check_sizes(root, names)
    return Site(root, cameras)


def _about_videos(root: Path, videos: list[Path]) -> str:
    return (
        f"{root} holds {len(videos)} videos ({videos[0].name}, ...): crgan takes images of one "
        "person each; run a person detector over the videos, save its boxes as images, and move "
        "the videos elsewhere"
    )


def _check_sizes(root: Path, names: list[str]) -> None:
    """Crops of standing people are taller than wide, and no frames of a whole scene."""
    some = names[:: max(1, len(names) // _LOOKED_AT)]
    sizes = [(name, size) for name in some if (size := _size_of(root / name))]
    wide = [(name, size) for name, size in sizes if size[0] > size[1]]
    if len(wide) > len(sizes) / 2:
        name, (width, height) = wide[0]
        raise UserError(
            f"{root}: {len(wide)} of {len(sizes)} images looked at are wider than tall ({name} is "
            f"{width}x{height}): these seem to be whole frames; cut the people out, {_LAYOUT}"
        )
    tiny = [(name, size) for name, size in sizes if min(size) < _SHORTEST]
    if len(tiny) > len(sizes) / 2:
        name, (width, height) = tiny[0]
        raise UserError(
            f"{root}: {len(tiny)} of {len(sizes)} images looked at are too small ({name} is "
            f"{width}x{height}): a side of at least {_SHORTEST} pixels, better 64, is needed"
        )


def _size_of(path: Path) -> tuple[int, int] | None:
    """(width, height) by an image's header; None where that cannot be read (told in full later)."""
    try:
        with Image.open(path) as image:
            return image.size
    except Exception:  # a header that is no image's makes Pillow raise nearly anything
        return None
