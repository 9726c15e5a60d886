"""Mini-batches of pairs: what belongs together stays together."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from crgan.gan.base import Task
from crgan.gan.pairs import PairBatches, masked_images
from tests.gan_fakes import HEIGHT, WIDTH, masks, split, task

N, M = 9, 10


def marked() -> Task:
    """Images whose number is their grey level, each with a mask that says it in columns."""
    t = task(N, M)
    for domain in (t.source, t.target):
        domain.images[:] = np.arange(len(domain), dtype=np.uint8)[:, None, None, None]
    sides = [np.zeros((n, HEIGHT, WIDTH), dtype=np.bool_) for n in (N, M)]
    for side in sides:
        side[:, :, :2] = True  # left, so that mirroring shows
        for i in range(len(side)):
            side[i, i, 4] = True
    return dataclasses.replace(t, source_masks=sides[0], target_masks=sides[1])


def batches(
    seed: int = 0, batch: int = 4, flip: bool = False, t: Task | None = None
) -> PairBatches:
    return PairBatches(t or marked(), np.arange(N), np.arange(M), batch, seed, "cpu", flip=flip)


def number(x: torch.Tensor) -> list[int]:
    return ((x[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_images_masks_and_labels_belong_together() -> None:
    stream = batches()
    for _ in range(3):
        p = next(stream)
        assert number(p.x_s) == p.y_j.tolist()
        assert number(p.x_t) == p.y_c.tolist()
        assert p.m_f[:, 0, :, 4].argmax(1).tolist() == p.y_j.tolist()
        assert p.m_t[:, 0, :, 4].argmax(1).tolist() == p.y_c.tolist()
        assert p.x_s.shape == (4, 3, HEIGHT, WIDTH)
        assert p.m_f.shape == (4, 1, HEIGHT, WIDTH)
        assert p.m_f.dtype == torch.float32


def test_every_image_equally_often_and_pairs_vary() -> None:
    stream = batches(batch=3)
    epochs = [next(stream) for _ in range(N * M)]  # 30 epochs of the source, 27 of the target
    assert set(np.bincount(torch.cat([p.y_j for p in epochs]))) == {3 * M}
    assert set(np.bincount(torch.cat([p.y_c for p in epochs]))) == {3 * N}
    met = {pair for p in epochs for pair in zip(p.y_j.tolist(), p.y_c.tolist(), strict=True)}
    assert len(met) > 0.8 * N * M


def test_mirror_takes_image_and_mask_alike() -> None:
    t = task(N, M)
    t.source.images[:] = 0
    t.source.images[t.source_masks[np.arange(N)]] = 255  # white exactly where the mask is
    stream = batches(batch=6, flip=True, t=t)
    sides = set()
    for _ in range(6):
        p = next(stream)
        assert torch.equal(p.x_s, (2 * p.m_f - 1).expand_as(p.x_s))
        sides |= {bool(mask[0, :, : WIDTH // 2].any()) for mask in p.m_f}
    assert sides == {True, False}


def test_mirroring_leaves_the_store_alone() -> None:
    t = marked()
    before = t.source.images.copy(), np.array(t.source_masks)
    masked_images(t.source, t.source_masks, np.arange(3), np.array([True, True, False]))
    assert np.array_equal(t.source.images, before[0])
    assert np.array_equal(np.array(t.source_masks), before[1])


def test_read_only_images() -> None:
    t = marked()
    t.source.images.flags.writeable = False  # as from a memory map
    assert next(batches(t=t, flip=True)).x_s.isfinite().all()


def test_saved_state_goes_on() -> None:
    stream = batches(flip=True)
    next(stream)
    state = stream.state_dict()
    expected = [next(stream) for _ in range(4)]
    again = batches(seed=5, flip=True)
    again.load_state_dict(state)
    for p in expected:
        q = next(again)
        for field in dataclasses.fields(p):
            assert torch.equal(getattr(p, field.name), getattr(q, field.name))


def test_task_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="target"):
        dataclasses.replace(task(), target_masks=masks(3))
    with pytest.raises(ValueError, match="source"):
        dataclasses.replace(task(), height=HEIGHT * 2)
    empty = split(20, 0, (1,), (1,))
    with pytest.raises(Exception, match="the source has no training images"):
        dataclasses.replace(task(), source=empty, source_masks=masks(0))
