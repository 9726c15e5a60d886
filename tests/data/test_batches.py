"""Samplers and augmentation: what they draw, that it repeats, and that it resumes bit for bit."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crgan.common.io import load_torch, save_torch
from crgan.data.batches import (
    Augmentation,
    TrainBatches,
    augment,
    class_labels,
    from_gan,
    in_order,
    to_gan,
)
from crgan.data.samplers import EpochSampler

NOISE = np.random.default_rng(7).integers(0, 256, (10, 12, 8, 3), dtype=np.uint8)
PLAIN = Augmentation(flip=0, pad=0, erase=0)


def through_a_file(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    save_torch(folder / "state.pt", state)
    return load_torch(folder / "state.pt")


def test_each_epoch_shows_every_image_once() -> None:
    sampler = EpochSampler(10, 4, seed=1)
    drawn = np.concatenate(list(islice(sampler, 15)))
    assert sampler.epoch == 5
    epochs = drawn.reshape(6, 10)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(10))
    assert len({tuple(epoch) for epoch in epochs}) == 6


def test_batches_keep_their_size_even_beyond_the_set() -> None:
    assert [len(b) for b in islice(EpochSampler(10, 7, 0), 5)] == [7] * 5
    big = next(EpochSampler(3, 8, 0))
    assert sorted(Counter(big.tolist()).values()) == [2, 3, 3]
    for n, batch in ((0, 4), (4, 0)):
        with pytest.raises(ValueError, match="cannot sample"):
            EpochSampler(n, batch, 0)


def test_seed_fixes_the_order() -> None:
    first, again, other = (list(islice(EpochSampler(50, 8, s), 20)) for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("steps", [0, 1, 3, 5, 7])
def test_samplers_resume_exactly(tmp_path: Path, steps: int) -> None:
    through = EpochSampler(10, 4, seed=5)
    for _ in range(steps):
        next(through)
    state = through_a_file(through.state_dict(), tmp_path)
    expected = [next(through) for _ in range(12)]
    resumed = EpochSampler(10, 4, seed=99)
    resumed.load_state_dict(state)
    np.testing.assert_array_equal(expected, list(islice(resumed, 12)))
    assert resumed.epoch == through.epoch


def test_state_of_another_set_is_refused() -> None:
    with pytest.raises(ValueError, match="of 10 images, this data set has 11"):
        EpochSampler(11, 4, 0).load_state_dict(EpochSampler(10, 4, 0).state_dict())


def test_without_augmentation_images_pass_unchanged() -> None:
    picks = np.array([3, 3, 9, 0])
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(augment(NOISE, picks, PLAIN, rng), NOISE[picks])


def test_flip_mirrors_whole_images_about_half_the_time() -> None:
    picks = np.zeros(400, dtype=np.int64)
    batch = augment(NOISE, picks, Augmentation(flip=0.5), np.random.default_rng(0))
    straight = (batch == NOISE[0]).all(axis=(1, 2, 3))
    mirrored = (batch == NOISE[0][:, ::-1]).all(axis=(1, 2, 3))
    assert (straight ^ mirrored).all()
    assert 160 < mirrored.sum() < 240
    always = augment(NOISE, picks[:5], Augmentation(flip=1), np.random.default_rng(0))
    np.testing.assert_array_equal(always, np.repeat(NOISE[:1, :, ::-1], 5, axis=0))


def test_shift_is_padding_and_crop() -> None:
    pad = 2
    padded = np.pad(NOISE[4], ((pad, pad), (pad, pad), (0, 0)))
    crops = {
        padded[y : y + 12, x : x + 8].tobytes() for y in range(5) for x in range(5)
    }  # every crop of the padded image
    assert len(crops) == 25
    batch = augment(NOISE, np.full(600, 4), Augmentation(flip=0, pad=pad), np.random.default_rng(1))
    assert {image.tobytes() for image in batch} == crops


def test_padding_as_large_as_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="padding of 8 pixels"):
        augment(NOISE, np.zeros(1, np.int64), Augmentation(pad=8), np.random.default_rng(0))


def test_erasing_fills_one_box_of_the_asked_size() -> None:
    white = np.full((1, 64, 32, 3), 255, dtype=np.uint8)
    how = Augmentation(flip=0, erase=0.6, erase_area=(0.1, 0.3), erase_aspect=0.5)
    batch = augment(white, np.zeros(500, np.int64), how, np.random.default_rng(2))
    shares = []
    for image in batch:
        erased = (image != 255).any(axis=2)
        if erased.any():
            ys, xs = np.nonzero(erased)
            box = erased[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
            assert box.all()  # one full rectangle
            assert image[ys[0], xs[0]].tolist() == [124, 116, 104]
            shares.append(box.size / erased.size)
            assert 0.4 < box.shape[0] / box.shape[1] < 2.5
    assert 250 < len(shares) < 350
    assert min(shares) > 0.08
    assert max(shares) < 0.32
    assert np.mean(shares) == pytest.approx(0.2, abs=0.01)


def test_augmentation_repeats_with_its_generator() -> None:
    how = Augmentation(0.5, 2, 0.5)
    picks = np.arange(10)
    one, two, three = (augment(NOISE, picks, how, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, three)


def test_gan_range_and_back() -> None:
    ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    images = to_gan(ramp)
    assert images.shape == (1, 3, 16, 16)
    assert images.dtype == torch.float32
    assert images.is_contiguous()
    assert images[0, :, 0, 0].tolist() == [-1, -1, -1]
    assert images[0, :, -1, -1].tolist() == [1, 1, 1]
    np.testing.assert_array_equal(from_gan(images), ramp)
    assert from_gan(torch.tensor([-7.0, 0.0, 7.0]).view(1, 3, 1, 1)).ravel().tolist() == [
        0,
        128,
        255,
    ]
    channels = to_gan(NOISE)[2, 1].add(1).mul(127.5).round()
    np.testing.assert_array_equal(channels.numpy(), NOISE[2, :, :, 1])


def test_read_only_images_are_left_alone(recwarn: pytest.WarningsRecorder) -> None:
    locked = NOISE.copy()
    locked.flags.writeable = False
    torch.testing.assert_close(to_gan(locked), to_gan(NOISE), rtol=0, atol=0)
    augment(locked, np.arange(5), Augmentation(1.0, 2, 1.0), np.random.default_rng(0))
    np.testing.assert_array_equal(locked, NOISE)
    assert not recwarn.list


def test_class_labels_are_dense_and_ordered() -> None:
    labels, classes = class_labels(np.array([7, 2, 2, 1500, 7]))
    assert labels.tolist() == [1, 0, 0, 2, 1]
    assert labels.dtype == np.int64
    assert classes == 3


def test_train_batches_pair_images_with_their_labels() -> None:
    batches = TrainBatches(NOISE, np.arange(10) * 3, 4, PLAIN, seed=0)
    for images, labels in islice(batches, 6):
        np.testing.assert_array_equal(from_gan(images), NOISE[labels.numpy() // 3])
    with pytest.raises(ValueError, match="10 images but 9 labels"):
        TrainBatches(NOISE, np.arange(9), 4, PLAIN, seed=0)


@pytest.mark.parametrize("steps", [0, 2, 3])
def test_train_batches_resume_bit_for_bit(tmp_path: Path, steps: int) -> None:
    how = Augmentation(0.5, 2, 0.5)
    through = TrainBatches(NOISE, np.arange(10), 4, how, seed=1)
    for _ in range(steps):
        next(through)
    state = through_a_file(through.state_dict(), tmp_path)
    resumed = TrainBatches(NOISE, np.arange(10), 4, how, seed=2)
    resumed.load_state_dict(state)
    for _ in range(8):
        for want, got in zip(next(through), next(resumed), strict=True):
            assert torch.equal(want, got)


def test_in_order_covers_everything_once() -> None:
    parts = list(in_order(NOISE, 4))
    assert [len(part) for part in parts] == [4, 4, 2]
    np.testing.assert_array_equal(from_gan(torch.cat(parts)), NOISE)
