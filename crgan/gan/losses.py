"""The losses of section 3.2: predictions and images in, one number out.

Every function takes a batch and returns its mean, a scalar tensor. `crgan.gan.crgan` weighs them,
eq. (8).
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

ContextNorm: TypeAlias = Literal["rms", "mse"]
CONTEXT_NORMS = get_args(ContextNorm)


def adversarial_d(real: Tensor, fake: Tensor) -> Tensor:
    """L_adv of eq. (4) for D_d, in the least-squares form that section 4.1 employs (LSGAN).

    Args:
        real, fake: decisions D_d(X_T) and D_d(X_G), any shape; 1 means target domain.
    """
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def adversarial_g(fake: Tensor) -> Tensor:
    """L_adv of eq. (4) for G, least-squares form: D_d shall take X_G for a target image.

    Without LSGAN's factor of one half, as CycleGAN and PatchGAN's authors write it; the weight
    lambda_adv stands before it.
    """
    return (fake - 1).square().mean()


def camera(logits: Tensor, y_c: Tensor) -> Tensor:
    """L_cam = -log p(y_c | X_G), eq. (5): logits D_cam(X_G) (B, C), camera of X_T (B,)."""
    return F.cross_entropy(logits, y_c)


def identity(logits: Tensor, y_j: Tensor) -> Tensor:
    """L_id = -log p(y_j | X_G), eq. (7): logits D_id(X_G) (B, C), identity of X_S (B,)."""
    return F.cross_entropy(logits, y_j)


def context(x_g: Tensor, x_s: Tensor, x_t: Tensor, m_f: Tensor, m_b: Tensor, norm: str) -> Tensor:
    """L_con = ||(X_G - X_S) o M_F||_2 + ||(X_G - X_T) o M_B||_2, eq. (6).

    Args:
        x_g, x_s, x_t: images (B, 3, H, W) in [-1, 1].
        m_f, m_b: foreground and background (B, 1, H, W) of X_S.
        norm: `rms`, the norm of each image over the square root of its 3 H W entries, so that it
            does not grow with the image; or `mse`, its square.
    """
    return masked_norm((x_g - x_s) * m_f, norm) + masked_norm((x_g - x_t) * m_b, norm)


def masked_norm(difference: Tensor, norm: str) -> Tensor:
    """Mean over a batch (B, ...) of each entry's `rms` or `mse`."""
    if norm == "mse":
        return difference.square().mean()
    if norm == "rms":
        # vector_norm has a gradient of 0, not nan, where an image's difference is 0 throughout
        lengths = torch.linalg.vector_norm(difference.flatten(1), dim=1)
        return lengths.mean() / difference[0].numel() ** 0.5
    raise ValueError(f"context norm {norm!r}; one of {', '.join(CONTEXT_NORMS)}")
