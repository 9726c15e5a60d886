"""AdaBN: the statistics are the target's, nothing else moves."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from crgan.adaptation.adabn import adapt
from crgan.adaptation.base import Target
from crgan.common.errors import UserError
from crgan.data.batches import to_gan
from crgan.reid.model_file import build_reid
from tests.cluster_targets import NOBODY, coloured_target, same, start_file

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def adabn(target: Target, batch: int, seed: int = 0) -> dict[str, Any]:
    return adapt(start_file(), NOBODY, target, {"batch": batch}, seed=seed)


def first_layer(file: dict[str, Any], target: Target) -> tuple[torch.Tensor, torch.Tensor]:
    """What the first batch norm is given, (n, C, H, W), and the mean that the file has of it."""
    net = build_reid(file, "the file")
    taken: list[torch.Tensor] = []
    layer = next(m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))
    layer.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    net(to_gan(target.images))
    return taken[0], layer.running_mean  # type: ignore[return-value]


@pytest.mark.parametrize("batch", [4, 24])
def test_the_first_layers_mean_is_that_of_all_target_images(batch: int) -> None:
    target = coloured_target()  # 24 images
    given, mean = first_layer(adabn(target, batch), target)
    torch.testing.assert_close(mean, given.mean((0, 2, 3)))


def test_only_statistics_change_and_the_classifier_goes() -> None:
    before, after = start_file()["state"], adabn(coloured_target(), 8)
    assert after["pids"] == []
    assert after["notes"][-1] == "batch-norm statistics of the target"
    for name, value in after["state"].items():
        if name.endswith(STATISTICS):
            assert not torch.equal(value, before[name])
        else:
            assert torch.equal(value, before[name])


def test_images_are_drawn_by_the_seed_and_what_is_left_over_does_not_count() -> None:
    target = coloured_target()
    assert same(adabn(target, 7), adabn(target, 7))
    assert not same(adabn(target, 7), adabn(target, 7, seed=1))
    few = Target(target.images[:3], target.camid[:3])
    assert same(adabn(few, 8), adabn(few, 3))  # fewer than a batch are one


def test_a_batch_of_one_is_refused() -> None:
    with pytest.raises(UserError, match=r"adabn\.batch"):
        adabn(coloured_target(), 1)
