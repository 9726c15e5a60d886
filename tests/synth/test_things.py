"""Images of things, from which the small CNN's starting weights are taught."""

from __future__ import annotations

import numpy as np

from crgan.synth.things import images_of_things


def test_images_of_things_repeat_and_differ() -> None:
    first = images_of_things(4, (64, 32), seed=3)
    assert first.shape == (4, 64, 32, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, images_of_things(4, (64, 32), seed=3))
    assert not np.array_equal(first, images_of_things(4, (64, 32), seed=4))
    assert all(image.std() > 10 for image in first)  # there is something to see
    assert not np.array_equal(first[0], first[1])
