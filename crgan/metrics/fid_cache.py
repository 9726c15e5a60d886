"""FID statistics of images that many results are compared with, computed once.

A file is known by what it was computed from, so nothing stale can be found: another manifest,
other pixels, another resolution, layer or weight file is another key, and another name.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from crgan.common.errors import UserError
from crgan.common.io import canonical_json, sha256_bytes
from crgan.metrics.fid import FidNet, FidStatistics, load_statistics, save_statistics, statistics
from crgan.metrics.measurement import Images, checked_images

_DIGITS = 24  # of the key's hash in a file's name; the whole key is in the file and is compared
_ROWS = 256  # images hashed at once, of an array that may be memory-mapped


def kept_statistics(
    folder: str | Path, net: FidNet, images: Images, manifest_sha256: str
) -> FidStatistics:
    """`statistics(net, images)`, read from `folder` if it was computed before.

    What is read back equals what was computed, bit for bit. A damaged file is made anew.

    Args:
        folder: of the kept files; may be deleted at any time.
        images: (N, H, W, 3) uint8, N >= 2, of the data set of this manifest.
    """
    images = checked_images("images", images, least=2)
    key = key_of_images(net, images, manifest_sha256)
    path = Path(folder) / f"{sha256_bytes(canonical_json(key).encode())[:_DIGITS]}.npz"
    if path.is_file():
        try:
            return load_statistics(path, key)
        except UserError:
            pass  # unreadable: replaced below
    value = statistics(net, images)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_statistics(path, value, key)
    return value


def key_of_images(net: FidNet, images: Images, manifest_sha256: str) -> dict[str, Any]:
    """What the statistics of these images depend on, as plain values.

    The pixels are among it: the manifest knows the files on disk, but not how the image store
    shrank them, nor which rows were chosen. Hashing costs a thousandth of the network.
    """
    digest = hashlib.sha256()
    for start in range(0, len(images), _ROWS):
        digest.update(np.ascontiguousarray(images[start : start + _ROWS]).tobytes())
    return {
        "manifest_sha256": manifest_sha256,
        "pixels_sha256": digest.hexdigest(),
        "n": len(images),
        "height": images.shape[1],
        "width": images.shape[2],
        "dims": net.dims,
        "weights": net.weights,
    }
