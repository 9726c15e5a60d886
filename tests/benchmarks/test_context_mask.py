"""What the numbers of `benchmarks.context_mask` mean, on images made by hand."""

from __future__ import annotations

import pytest
import torch

from benchmarks.context_mask import measured, structure
from crgan.nets.generator import Generator
from tests.gan_fakes import task


def test_another_colour_is_no_other_structure() -> None:
    torch.manual_seed(0)
    x, where = torch.rand(2, 3, 8, 4), torch.ones(2, 1, 8, 4)
    torch.testing.assert_close(structure(x * 0.5 + 0.3, x, where), torch.zeros(2))
    torch.testing.assert_close(structure(-x, x, where), torch.full((2,), 2.0))
    assert structure(torch.rand_like(x), x, where).min() > 0.6


def test_only_the_pixels_asked_for_count() -> None:
    torch.manual_seed(0)
    x, where = torch.rand(1, 3, 8, 4), torch.zeros(1, 1, 8, 4)
    where[..., :4, :] = 1
    y = x.clone()
    y[..., 4:, :] = 0
    assert structure(y, x, where).item() == pytest.approx(0, abs=1e-5)


def test_a_closed_mask_changes_nothing() -> None:
    generator = Generator(4, 2)
    torch.nn.init.zeros_(generator.head.weight)
    torch.nn.init.constant_(generator.head.bias, -50)  # sigmoid: X_C is 0
    found = measured(generator, task(), seed=0)
    assert all(abs(value) < 1e-4 for value in found.values())
    torch.nn.init.zeros_(generator.head.bias)  # X_C one half, X_R 0: every image half as strong
    found = measured(generator, task(), seed=0)
    assert found["X_C, people"] == found["X_C, background"] == 0.5
    assert found["people moved"] > 1
