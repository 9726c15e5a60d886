"""The rendered-set mode: the labelled source is rendered once and kept, as the rivals do.

CR-GAN renders on the fly instead (Alg. 1, III), so that no image is seen twice in one context. A
stored set is one more `Renderer`: fine-tuning takes either without knowing which.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from crgan.common.errors import UserError
from crgan.common.hdf5 import dataset, open_hdf5, writing_hdf5
from crgan.common.io import sha256_file
from crgan.common.settings import Count, Natural
from crgan.data.batches import from_gan, to_gan
from crgan.data.store import Split
from crgan.gan.base import Renderer
from crgan.pipeline.progress import bar_range

_FORMAT = "crgan rendered set 1"
_BATCH = 32


@dataclass(frozen=True)
class Settings:
    """The section `render_set` of the parameters.

    Attributes:
        copies: renderings stored of each image; one, where a method's do not vary.
        seed: what is random in them follows from it.
    """

    copies: Count
    seed: Natural


def write_set(
    path: str | Path,
    source: Split,
    renderer: Renderer,
    settings: Settings,
    manifest: str | Path,
    device: str,
) -> None:
    """Render a training split into an HDF5 file: `images`, uint8 (n, copies, H, W, 3), not packed.

    Args:
        source: the split; row i of the file is its image i.
        manifest: the source's; a set is only ever read with the manifest it was made of.
    """
    copies = settings.copies if renderer.varies else 1
    rng = np.random.default_rng(settings.seed)
    n, height, width, _ = source.images.shape
    with writing_hdf5(path, track_order=True) as file:
        file.attrs["format"] = _FORMAT
        file.attrs["manifest_sha256"] = sha256_file(Path(manifest))
        images = file.create_dataset("images", (n, copies, height, width, 3), dtype=np.uint8)
        for start in bar_range(0, n, _BATCH, desc="rendering", unit="batch", images=_BATCH):
            rows = np.arange(start, min(start + _BATCH, n))
            x_s = to_gan(source.images[rows]).to(device)
            for copy in range(copies):
                images[rows[0] : rows[-1] + 1, copy] = from_gan(renderer.render(x_s, rows, rng))


class StoredSet(Renderer):
    """A stored set as a renderer: a random copy of each image asked for.

    Raises:
        UserError: a file that is missing, damaged or made of another manifest or size.
    """

    def __init__(self, path: str | Path, source: Split, manifest: str | Path) -> None:
        self._images = _opened(Path(path), Path(manifest))
        wanted = (len(source), *source.images.shape[1:])
        found = (self._images.shape[0], *self._images.shape[2:])
        if found != wanted:
            raise UserError(
                f"{path}: images {found}, the source's training split is {wanted}; run "
                "render_set again"
            )
        self.copies = self._images.shape[1]
        self.varies = self.copies > 1

    def render_to(
        self, x_s: Tensor, s_rows: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, NDArray[np.int64] | None]:
        copies = rng.integers(self.copies, size=len(s_rows))
        images = np.stack([self._images[r, c] for r, c in zip(s_rows, copies, strict=True)])
        return to_gan(images).to(x_s.device), None


def _opened(path: Path, manifest: Path) -> NDArray[np.uint8]:
    """The images as a memory map: they stand in the file as they would in an .npy."""
    try:
        with open_hdf5(path, "a rendered set", "run render_set again") as file:
            if file.attrs["format"] != _FORMAT:
                raise KeyError(f"format {file.attrs['format']!r}")
            belongs = file.attrs["manifest_sha256"]
            images = dataset(file, "images")
            offset, shape = images.id.get_offset(), images.shape
            if offset is None or len(shape) != 5 or images.dtype != np.uint8:
                raise KeyError(f"images {images.dtype} {shape}")
    except FileNotFoundError:
        raise UserError(f"{path}: no such rendered set; run render_set first") from None
    except (OSError, KeyError) as error:
        raise UserError(f"{path}: not a rendered set ({error}); run render_set again") from None
    if belongs != sha256_file(manifest):
        raise UserError(f"{path}: rendered from another state of {manifest}; run render_set again")
    try:
        return np.memmap(path, np.uint8, "r", offset=offset, shape=shape)
    except ValueError as error:  # it claims more than it has
        raise UserError(f"{path}: damaged ({error}); run render_set again") from None
