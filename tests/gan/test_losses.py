"""The losses, with answers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from crgan.gan import losses


def test_adversarial_loss_of_d() -> None:
    real = torch.tensor([[1.0, 0.5]])  # squares of real - 1: 0, 0.25
    fake = torch.tensor([[0.0, 2.0]])  # squares: 0, 4
    assert losses.adversarial_d(real, fake).item() == pytest.approx((0.125 + 2.0) / 2)
    assert losses.adversarial_d(torch.ones(3), torch.zeros(3)).item() == 0


def test_adversarial_loss_of_g() -> None:
    assert losses.adversarial_g(torch.tensor([1.0, 0.0, 3.0])).item() == pytest.approx(5 / 3)
    assert losses.adversarial_g(torch.ones(2, 1, 4, 4)).item() == 0


@pytest.mark.parametrize("loss", [losses.camera, losses.identity])
def test_log_likelihoods(loss) -> None:  # type: ignore[no-untyped-def]
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]))
    labels = torch.tensor([1, 1])
    assert loss(logits, labels).item() == pytest.approx((math.log(4) - math.log(0.8)) / 2)


def test_context_loss_by_hand() -> None:
    """One image of 2 pixels: the person on the left, the background on the right."""
    x_g = torch.tensor([0.5, 0.0]).expand(1, 3, 1, 2)
    x_s = torch.tensor([0.1, 9.0]).expand(1, 3, 1, 2)
    x_t = torch.tensor([9.0, 0.3]).expand(1, 3, 1, 2)
    m_f = torch.tensor([[[[1.0, 0.0]]]])
    # 3 of 6 entries differ, by 0.4 and by 0.3
    rms = math.sqrt(0.16 / 2) + math.sqrt(0.09 / 2)
    mse = 0.16 / 2 + 0.09 / 2
    assert losses.context(x_g, x_s, x_t, m_f, 1 - m_f, "rms").item() == pytest.approx(rms)
    assert losses.context(x_g, x_s, x_t, m_f, 1 - m_f, "mse").item() == pytest.approx(mse)


def test_rms_is_of_each_image() -> None:
    """The mean of two norms, not the norm of the batch: (3 + 1) / 2 against sqrt(5)."""
    difference = torch.stack([torch.full((3, 2, 2), 3.0), torch.full((3, 2, 2), 1.0)])
    assert losses.masked_norm(difference, "rms").item() == pytest.approx(2)
    assert losses.masked_norm(difference, "mse").item() == pytest.approx(5)


def test_norm_does_not_grow_with_the_image() -> None:
    small, large = (torch.full((2, 3, n, n), 0.7) for n in (4, 32))
    for norm in losses.CONTEXT_NORMS:
        expected = losses.masked_norm(small, norm).item()
        assert losses.masked_norm(large, norm).item() == pytest.approx(expected, rel=1e-5)


def test_gradient_where_nothing_differs() -> None:
    x_g = torch.zeros(2, 3, 4, 4, requires_grad=True)
    other = torch.zeros(2, 3, 4, 4)
    mask = torch.ones(2, 1, 4, 4)
    losses.context(x_g, other, other, mask, 1 - mask, "rms").backward()
    assert x_g.grad is not None
    assert torch.equal(x_g.grad, torch.zeros_like(x_g))


def test_unknown_norm() -> None:
    with pytest.raises(ValueError, match="'l1'"):
        losses.masked_norm(torch.zeros(1, 3, 2, 2), "l1")
