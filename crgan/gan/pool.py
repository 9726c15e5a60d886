"""A history of generated images for the discriminator (Shrivastava et al. 2017, section 2.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


class Pool:
    """Keeps up to `size` images and hands out older ones half of the time.

    As in CycleGAN: until it is full every image is kept and returned; then each new one is either
    returned, or put in the place of a random old one, which is returned.

    Args:
        size: images kept; 0 returns what comes.
        seed: the choices follow from it.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self._rng = np.random.default_rng(np.random.SeedSequence([seed, size]))
        self._kept: Tensor | None = None
        self._count = 0

    def swap(self, images: Tensor) -> Tensor:
        """As many images as are given (B, 3, H, W), each a new or an older one; no gradients."""
        images = images.detach()
        if not self.size:
            return images
        if self._kept is None:
            self._kept = images.new_zeros(self.size, *images.shape[1:])
        given = images.clone()
        for i, image in enumerate(images):
            if self._count < self.size:
                self._kept[self._count] = image
                self._count += 1
            elif self._rng.random() < 0.5:
                place = int(self._rng.integers(self.size))
                given[i] = self._kept[place]
                self._kept[place] = image
        return given

    def state_dict(self) -> dict[str, Any]:
        """The images and the random state."""
        kept = None if self._kept is None else self._kept[: self._count].clone()
        return {"kept": kept, "random": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was called."""
        self._rng.bit_generator.state = state["random"]
        kept = state["kept"]
        self._count = 0 if kept is None else len(kept)
        self._kept = None
        if kept is not None:
            self._kept = torch.zeros(self.size, *kept.shape[1:], dtype=kept.dtype)
            self._kept = self._kept.to(kept.device)
            self._kept[: self._count] = kept
