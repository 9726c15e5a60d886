"""The mask store: one HDF5 file of packed bits per data set, keyed to its manifest.

It holds the person masks of the splits it was made of, in manifest order. A mask's bits lie row
by row, eight to a byte, the first in the highest bit. The file names the manifest and the images
it was made from, and `open_masks` refuses it for any other. It holds no time stamp: equal masks
make equal files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.hdf5 import dataset, open_hdf5, writing_hdf5
from crgan.common.io import canonical_json, sha256_bytes, sha256_file
from crgan.data.entries import SPLITS
from crgan.data.manifest import Manifest, read_manifest

Packed = NDArray[np.uint8]
Masks = NDArray[np.bool_]

_FORMAT = "crgan masks 2"
_BLOCK = 256  # masks packed and written at a time
_KEY_BYTES = 8  # of each image's SHA-256: enough to name the row that differs
_ATTRIBUTES = (
    "format", "height", "width", "backend", "weights_sha256", "settings", "manifest_sha256",
    "images_sha256", "splits",
)  # fmt: skip


def pack(masks: Masks) -> Packed:
    """Pack bool (n, H, W) into uint8 (n, ceil(H W / 8))."""
    return np.packbits(masks.reshape(len(masks), -1), axis=1)


def unpack(packed: Packed, height: int, width: int) -> Masks:
    """Unpack uint8 (n, ceil(H W / 8)) into bool (n, H, W)."""
    bits = np.unpackbits(packed, axis=1, count=height * width)
    return bits.view(np.bool_).reshape(-1, height, width)


def shrink(masks: Masks, height: int, width: int) -> Masks:
    """Resize bool (n, H, W): a pixel is person where more than half of the area it covers is."""
    result = np.empty((len(masks), height, width), dtype=np.bool_)
    for i, mask in enumerate(masks):
        share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        result[i] = share > 0.5
    return result


def rows_of_splits(manifest: Manifest, splits: Sequence[str]) -> NDArray[np.int64]:
    """Manifest rows of these splits, ascending int64 (n,)."""
    return np.flatnonzero(np.isin(np.array(manifest.split), list(splits))).astype(np.int64)


def write_masks(
    path: str | Path,
    masks: Iterable[Masks],
    *,
    manifest_sha256: str,
    image_sha256s: Sequence[str],
    shape: tuple[int, int, int],
    splits: Sequence[str],
    backend: str,
    weights_sha256: str | None,
    settings: dict[str, Any],
) -> None:
    """Write a data set's masks as they come, atomically; equal input gives equal bytes.

    Args:
        path: the .h5 file.
        masks: n arrays bool (H, W) of the rows of `splits`, in manifest order.
        manifest_sha256: hash of the manifest file.
        image_sha256s: the manifest's column of image hashes, N hex digests.
        shape: (n, H, W).
        splits: whose rows they are.
        backend, weights_sha256, settings: how the masks were made; the hash is None where no
            weights are used, the settings plain values.

    Raises:
        ValueError: a mask of another shape or type, or not n masks (a defect of the caller).
    """
    count, height, width = shape
    attributes = {
        "format": _FORMAT,
        "height": height,
        "width": width,
        "backend": backend,
        "weights_sha256": weights_sha256 or "",
        "settings": canonical_json(settings),
        "manifest_sha256": manifest_sha256,
        "images_sha256": _joint_hash(image_sha256s),
        "splits": json.dumps([split for split in SPLITS if split in splits]),
    }
    with writing_hdf5(path) as file:
        file.attrs.update(attributes)
        file.create_dataset("image_keys", data=_keys(image_sha256s))
        packed = file.create_dataset("masks", (count, -(-height * width // 8)), dtype=np.uint8)
        done = 0
        for block in _blocks(masks, (height, width)):
            if done + len(block) > count:
                raise ValueError(f"more than {count} masks")
            packed[done : done + len(block)] = pack(block)
            done += len(block)
        if done != count:
            raise ValueError(f"{done} masks, expected {count}")


@dataclass
class MaskStore:
    """A data set's masks, packed, in memory: n masks of H x W.

    Attributes:
        path: the file.
        packed: uint8 (n, ceil(H W / 8)).
        rows: the manifest rows they are of, ascending int64 (n,).
        splits: which are the rows of these.
        height, width: H and W, the image store's size.
        backend: name of the backend that made them.
        weights_sha256: hash of its weights, None where it has none.
        settings: its settings.
    """

    path: Path
    packed: Packed
    rows: NDArray[np.int64]
    splits: tuple[str, ...]
    height: int
    width: int
    backend: str
    weights_sha256: str | None
    settings: dict[str, Any]
    _sized: dict[tuple[int, int], Packed] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.packed)

    def spread(self, count: int) -> NDArray[np.int64]:
        """At most `count` of `rows`, evenly spread, for looking at."""
        return self.rows[np.unique(np.linspace(0, len(self) - 1, count).round().astype(int))]

    def read(
        self, rows: Sequence[int] | NDArray[np.integer], size: tuple[int, int] | None = None
    ) -> Masks:
        """The masks of manifest rows `rows`, bool (m, H, W); H, W are `size` where given.

        Raises:
            UserError: as `packed_rows`.
        """
        size = size or (self.height, self.width)
        return unpack(self.packed_rows(rows, size), *size)

    def packed_rows(
        self, rows: Sequence[int] | NDArray[np.integer], size: tuple[int, int]
    ) -> Packed:
        """The masks of manifest rows `rows` at `size` (H, W), uint8 (m, ceil(H W / 8)).

        A size is made once for the whole data set (area above one half) and kept packed.

        Raises:
            UserError: a row of a split without masks, or `size` exceeds the stored size.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        places = np.searchsorted(self.rows, wanted)
        found = self.rows[np.minimum(places, len(self) - 1)] == wanted
        if not found.all():
            raise UserError(
                f"{self.path}: row {wanted[~found][0] + 1} has no mask; these are of "
                f"{', '.join(self.splits)}: add its split to masks.splits, and extract them again"
            )
        return self.at(*size)[places]

    def at(self, height: int, width: int) -> Packed:
        """All masks at (height, width), packed: uint8 (n, ceil(height width / 8))."""
        if (height, width) == (self.height, self.width):
            return self.packed
        if height > self.height or width > self.width or min(height, width) < 1:
            raise UserError(
                f"{self.path}: masks are {self.height}x{self.width}, {height}x{width} is asked "
                "for; raise image.store in the profile, or lower image.train"
            )
        if (height, width) not in self._sized:
            blocks = [
                pack(shrink(unpack(block, self.height, self.width), height, width))
                for block in np.array_split(self.packed, range(_BLOCK, len(self), _BLOCK))
            ]
            self._sized[height, width] = np.concatenate(blocks)
        return self._sized[height, width]


def open_masks(path: str | Path, manifest_path: str | Path) -> MaskStore:
    """Read a mask file whole (one bit a pixel) and check that it belongs to the manifest.

    Raises:
        UserError: missing or damaged file, or masks of another manifest or of other images; the
            message says which.
    """
    path = Path(path)
    manifest = read_manifest(manifest_path)
    try:
        with open_hdf5(path, "a mask file", "run extract_masks again") as file:
            if file.attrs["format"] != _FORMAT:  # first: other formats have other attributes
                raise KeyError(f"format {file.attrs['format']!r}, not {_FORMAT!r}")
            attributes = {name: file.attrs[name] for name in _ATTRIBUTES}
            height, width = int(attributes["height"]), int(attributes["width"])
            splits = tuple(json.loads(attributes["splits"]))
            settings = json.loads(attributes["settings"])
            keys = dataset(file, "image_keys")
            _check_belongs(path, Path(manifest_path), manifest.sha256, attributes, keys)
            rows = rows_of_splits(manifest, splits)
            stored = dataset(file, "masks")
            # before it is read: a damaged file may claim any size
            if stored.shape != (len(rows), -(-height * width // 8)) or stored.dtype != np.uint8:
                raise UserError(f"{path}: damaged: masks {stored.shape}; run extract_masks again")
            packed = stored[()]
    except FileNotFoundError:
        raise UserError(f"{path}: no such mask file; run extract_masks first") from None
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{path}: not a mask file ({error}); run extract_masks again") from None
    return MaskStore(
        path=path,
        packed=packed,
        rows=rows,
        splits=splits,
        height=height,
        width=width,
        backend=str(attributes["backend"]),
        weights_sha256=str(attributes["weights_sha256"]) or None,
        settings=settings,
    )


def _check_belongs(
    path: Path,
    manifest_path: Path,
    hashes: Sequence[str],
    attributes: dict[str, Any],
    stored: h5py.Dataset,
) -> None:
    mend = f"these masks do not belong to {manifest_path}; run extract_masks again"
    if stored.shape != (len(hashes), _KEY_BYTES):
        raise UserError(f"{path}: masks of {len(stored)} rows for {len(hashes)}: {mend}")
    keys = stored[()]
    if attributes["images_sha256"] != _joint_hash(hashes):
        wrong = np.flatnonzero((keys != _keys(hashes)).any(axis=1))
        where = f"row {wrong[0] + 1} was made from another image" if len(wrong) else "other images"
        raise UserError(f"{path}: {where} ({len(wrong)} of {len(keys)} rows differ): {mend}")
    if attributes["manifest_sha256"] != sha256_file(manifest_path):
        raise UserError(f"{path}: same images, but another version of their manifest: {mend}")


def _joint_hash(image_sha256s: Sequence[str]) -> str:
    return sha256_bytes("\n".join(image_sha256s).encode())


def _keys(image_sha256s: Sequence[str]) -> Packed:
    """The first bytes of each hash, uint8 (N, 8)."""
    joined = bytes.fromhex("".join(value[: 2 * _KEY_BYTES] for value in image_sha256s))
    return np.frombuffer(joined, dtype=np.uint8).reshape(-1, _KEY_BYTES)


def _blocks(masks: Iterable[Masks], size: tuple[int, int]) -> Iterator[Masks]:
    """Stack single masks into blocks, bool (n <= 256, H, W)."""
    stream = iter(masks)
    while block := list(islice(stream, _BLOCK)):
        for mask in block:
            if mask.shape != size or mask.dtype != np.bool_:
                raise ValueError(f"mask is {mask.dtype} {mask.shape}, expected bool {size}")
        yield np.stack(block)
