"""The image store: one uint8 array per data set, beside its manifest, read by memory map.

Every later stage takes its images from here, already decoded and of one size; raw folders are
read once, by `write_store`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.io import (
    NPY_FAULTS,
    atomic_path,
    npy_fault,
    require_regular,
    sha256_bytes,
)
from crgan.data.entries import Listing, NoRegularFile, Pixels
from crgan.data.integrity import BadImage, Checks, Fault, decode, fault_report, resize
from crgan.data.manifest import Manifest, read_manifest
from crgan.pipeline.progress import Bar

IMAGES = "images.npy"
_CHUNK = 32  # images per task: one at a time, handing tasks over costs as much as decoding
_IN_FLIGHT = 4  # tasks per worker thread; bounds memory whatever the data set's size


def write_store(
    path: str | Path,
    listing: Listing,
    height: int,
    width: int,
    checks: Checks | None = None,
    workers: int = 1,
) -> tuple[str, ...]:
    """Decode, check, resize and write every image of a listing, in its order.

    Writes uint8 (N, height, width, 3) RGB as .npy. Rows are appended to the file rather than
    written through a memory map, whose dirty pages would count as memory of the process. At most
    a few hundred images are held at once.

    Returns:
        SHA-256 of each image file's bytes (of the array's bytes where there is no file).

    Raises:
        UserError: one report naming each bad image; nothing is left at `path`.
    """
    checks = checks or Checks()
    paths = [entry.path for entry in listing.entries]
    digests: list[str] = []
    faults: list[Fault] = []
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        header = {
            "descr": "|u1",
            "fortran_order": False,
            "shape": (len(paths), height, width, 3),
        }
        np.lib.format.write_array_header_1_0(file, header)
        done = _decoded(listing.pixels, paths, height, width, checks, workers)
        for result in Bar(done, total=len(paths), desc=f"{listing.dataset} images", unit="img"):
            if isinstance(result, Fault):
                faults.append(result)
            elif not faults:  # after the first fault only the report matters
                digest, image = result
                digests.append(digest)
                file.write(image.data)
        if faults:
            raise fault_report(listing.dataset, str(listing.root), faults, len(paths))
    return tuple(digests)


def _decoded(
    pixels: Pixels, paths: list[str], height: int, width: int, checks: Checks, workers: int
) -> Iterator[tuple[str, NDArray[np.uint8]] | Fault]:
    def one(path: str) -> tuple[str, NDArray[np.uint8]] | Fault:
        try:
            raw = pixels.read(path)
            image = np.ascontiguousarray(resize(decode(raw, checks), height, width))
            return sha256_bytes(raw if isinstance(raw, bytes) else raw.tobytes()), image
        except BadImage as error:
            return Fault(path, error.kind, error.detail)
        except NoRegularFile:
            return Fault(path, "no file", "a pipe, socket, device or folder")
        except OSError as error:
            return Fault(path, "unreadable", error.strerror or str(error))

    if workers <= 1:
        yield from map(one, paths)
        return
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    step = _IN_FLIGHT * workers
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(chunks), step):
            for done in pool.map(
                lambda chunk: [one(p) for p in chunk], chunks[start : start + step]
            ):
                yield from done


@dataclass(frozen=True)
class Split:
    """One split of an opened data set; n images.

    Attributes:
        images: uint8 (n, H, W, 3) RGB, C-contiguous; possibly a read-only memory map.
        pid, camid: int64 (n,).
        rows: int64 (n,), the images' rows in the manifest (and in the mask file).
        attributes: name -> int64 (n,), values as published, 0 unknown; empty without their file.
    """

    images: NDArray[np.uint8]
    pid: NDArray[np.int64]
    camid: NDArray[np.int64]
    rows: NDArray[np.int64]
    attributes: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass
class Dataset:
    """A manifest with its images.

    Attributes:
        path: the manifest's file.
        manifest: its rows.
        store: uint8 (N, H', W', 3), memory-mapped, as prepared.
        size: (H, W) at which `split` gives the images.
    """

    path: Path
    manifest: Manifest
    store: NDArray[np.uint8]
    size: tuple[int, int]
    _splits: dict[str, Split] = field(default_factory=dict, repr=False)

    def split(self, name: str) -> Split:
        """The images of a split at `size`; resized once and kept, when that differs."""
        if name not in self._splits:
            rows = self.manifest.rows(name)
            # rows of one split stand together, so this slice is a view of the memory map
            images = self.store[rows[0] : rows[-1] + 1] if len(rows) else self.store[:0]
            if images.shape[1:3] != self.size:
                images = _shrunk(images, self.size)
            m = self.manifest
            attributes = {key: values[rows] for key, values in m.attributes.items()}
            self._splits[name] = Split(images, m.pid[rows], m.camid[rows], rows, attributes)
        return self._splits[name]


def _shrunk(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    result = np.empty((len(images), *size, 3), dtype=np.uint8)
    for i, image in enumerate(images):
        result[i] = resize(image, *size)
    return result


def open_dataset(manifest_path: str | Path, size: tuple[int, int] | None = None) -> Dataset:
    """Open `manifest.csv` and the `images.npy` beside it.

    Args:
        manifest_path: the manifest.
        size: (H, W) wanted; None for the store's own. It may not exceed the store's.

    Raises:
        UserError: missing or damaged files, a store that does not belong to the manifest, or a
            size larger than the store's.
    """
    manifest_path = Path(manifest_path)
    manifest = read_manifest(manifest_path)
    path = manifest_path.parent / IMAGES
    try:
        require_regular(path)
        store = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no image store; run prepare_data first") from None
    except NPY_FAULTS as error:
        reason = npy_fault(error)
        raise UserError(f"{path}: not a readable image store ({reason}); prepare again") from None
    if store.dtype != np.uint8 or store.ndim != 4 or store.shape[3] != 3:
        raise UserError(f"{path}: {store.dtype} {store.shape}, expected uint8 (N, H, W, 3)")
    if len(store) != len(manifest):
        raise UserError(
            f"{path}: {len(store)} images for {len(manifest)} rows of {manifest_path}; "
            "they do not belong together: prepare again"
        )
    height, width = store.shape[1:3]
    wanted = (height, width) if size is None else (int(size[0]), int(size[1]))
    if wanted[0] > height or wanted[1] > width or min(wanted) < 1:
        raise UserError(
            f"{path}: images are {height}x{width}, {wanted[0]}x{wanted[1]} is asked for; "
            "raise image.store in the profile, or lower image.train"
        )
    return Dataset(manifest_path, manifest, store, wanted)
