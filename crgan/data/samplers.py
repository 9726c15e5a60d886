"""Which images come next: shuffled epochs whose state is a few plain values.

A sampler owns its random generator, so nothing else that draws numbers changes its order, and it
saves the generator's state from the start of the epoch plus a position, from which the rest of the
epoch follows bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class EpochSampler:
    """Endless batches of indices; each epoch is a fresh permutation of 0..n-1.

    A batch that reaches the end of an epoch goes on into the next, so that every batch has the
    same size and every image is drawn equally often.

    Args:
        n: number of images, at least 1.
        batch: indices per batch, at least 1; may exceed n.
        seed: of this sampler's own generator.
    """

    def __init__(self, n: int, batch: int, seed: int | np.random.SeedSequence) -> None:
        if n < 1 or batch < 1:
            raise ValueError(f"cannot sample batches of {batch} from {n} images")
        self.n = n
        self.batch = batch
        self.epoch = 0
        self._rng = np.random.default_rng(seed)
        self._begin()

    def _begin(self) -> None:
        self._at_start = self._rng.bit_generator.state
        self._order = self._rng.permutation(self.n)
        self._position = 0

    def __iter__(self) -> EpochSampler:
        return self

    def __next__(self) -> NDArray[np.int64]:
        """The next indices, int64 (batch,)."""
        parts, wanted = [], self.batch
        while wanted:
            if self._position == self.n:
                self.epoch += 1
                self._begin()
            part = self._order[self._position : self._position + wanted]
            self._position += len(part)
            wanted -= len(part)
            parts.append(part)
        return np.concatenate(parts)

    def state_dict(self) -> dict[str, Any]:
        """Plain values from which `load_state_dict` goes on exactly here."""
        return {
            "n": self.n,
            "epoch": self.epoch,
            "position": self._position,
            "rng": self._at_start,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the saved sampler stood.

        Raises:
            ValueError: the state belongs to a data set of another size.
        """
        if state["n"] != self.n:
            raise ValueError(f"sampler state is of {state['n']} images, this data set has {self.n}")
        self.epoch = state["epoch"]
        self._rng.bit_generator.state = state["rng"]
        self._begin()
        self._position = state["position"]
