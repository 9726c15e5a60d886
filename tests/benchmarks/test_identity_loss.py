"""The parts of the experiment on the identity loss, by hand."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import identity_loss
from crgan.gan.base import Classifier
from tests.gan_fakes import HEIGHT, PIDS, WIDTH, split, task


def test_shaken_copies_follow_the_images() -> None:
    source = split(60, 6, PIDS, (1, 4))
    more = identity_loss.shaken(source, 2, np.random.default_rng(0))
    assert more.images.shape == (18, HEIGHT, WIDTH, 3)
    assert more.images.dtype == np.uint8
    np.testing.assert_array_equal(more.images[:6], source.images)
    np.testing.assert_array_equal(more.pid, np.tile(source.pid, 3))
    # one gain and gamma a channel and image: equal bytes stay equal, brighter ones stay brighter
    before, after = source.images[0, :, :, 1].ravel(), more.images[6, :, :, 1].ravel()
    order = np.argsort(before, kind="stable")
    assert (np.diff(after[order].astype(int)) >= 0).all()
    assert (after != before).any()
    again = identity_loss.shaken(source, 2, np.random.default_rng(0))
    np.testing.assert_array_equal(more.images, again.images)


def test_swapped_copies_keep_the_person_and_change_the_ground() -> None:
    source = split(60, 6, PIDS, (1, 4))
    source.images[:] = np.arange(6, dtype=np.uint8)[:, None, None, None] * 10  # a grey each
    masks = np.zeros((6, HEIGHT, WIDTH), bool)
    masks[:, : HEIGHT // 2] = True
    more = identity_loss.swapped(source, masks, 2, np.random.default_rng(0))
    assert more.images.shape == (18, HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(more.images[:6], source.images)
    people, grounds = more.images[6:, : HEIGHT // 2], more.images[6:, HEIGHT // 2 :]
    np.testing.assert_array_equal(people, np.tile(source.images[:, : HEIGHT // 2], (2, 1, 1, 1)))
    for copy in (grounds[:6], grounds[6:]):  # each ground once, on another image
        assert sorted(copy[:, 0, 0, 0].tolist()) == [0, 10, 20, 30, 40, 50]
        assert copy[:, 0, 0, 0].tolist() != [0, 10, 20, 30, 40, 50]


class ByBrightness(nn.Module):
    """Says class 0 of an image that is dark on average, class 1 of others."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((1, 2, 3))
        return torch.stack((-mean, mean, torch.full_like(mean, -9.0)), 1)


def test_known_tells_images_from_cut_outs() -> None:
    domains = task()  # a dark source; its people fill less than half of an image
    domains.source.pid[:] = PIDS[0]
    domains.source.images[:] = 0
    domains.target.images[:] = 255
    judge = Classifier(ByBrightness(), PIDS, "by brightness")
    assert identity_loss.known(judge, domains, seed=0) == (100.0, 0.0)


class Add(nn.Module):
    """Renders by adding a fifth of the range to every pixel."""

    def render(self, x_s: Tensor, rows: np.ndarray, rng: np.random.Generator) -> Tensor:
        return x_s + 0.4


def test_moved_is_in_grey_levels() -> None:
    person, background = identity_loss.moved(Add(), task(), seed=0)
    assert abs(person - 0.4 * 127.5) < 1e-3
    assert abs(background - 0.4 * 127.5) < 1e-3
