"""The images of Figures 6 and 7 and of the parts sheet, made by trained generators."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from crgan.data.batches import from_gan, to_gan
from crgan.gan.base import Renderer, Task
from crgan.gan.pairs import masked_images
from crgan.looks.figures import Images, Renderings
from crgan.looks.picks import Integers
from crgan.nets.generator import Generator, masked_target


@torch.no_grad()
def render_grid(
    gan: Generator, baseline: Generator, task: Task, s_rows: Integers, t_rows: Integers
) -> Renderings:
    """Every source image in every target's context, and by the baseline, which sees no target.

    Args:
        gan: with the dual condition.
        baseline: without.
        task: the two domains.
        s_rows, t_rows: places of X_S and X_T in its splits.
    """
    x_s, _ = masked_images(task.source, task.source_masks, s_rows)
    x_t, m_t = masked_images(task.target, task.target_masks, t_rows)
    rendered = [
        from_gan(gan(x.expand_as(x_t), x_t, m_t)) for x in x_s.split(1)
    ]  # a row of the figure at a time
    any_target = x_t[:1].expand_as(x_s), m_t[:1].expand(len(x_s), -1, -1, -1)
    return Renderings(
        sources=from_gan(x_s),
        targets=from_gan(x_t),
        baseline=from_gan(baseline(x_s, *any_target)),
        rendered=np.stack(rendered),
    )


def method_images(
    renderer: Renderer, task: Task, s_rows: Integers, contexts: int, seed: int
) -> Images:
    """Renderings of source images, uint8 (n, k, H, W, 3): k is `contexts`, or 1 where a method's
    do not vary.
    """
    rng = np.random.default_rng(seed)
    x_s = to_gan(task.source.images[s_rows])
    count = contexts if renderer.varies else 1
    return np.stack([from_gan(renderer.render(x_s, s_rows, rng)) for _ in range(count)], axis=1)


def part_columns(
    gan: Generator, task: Task, s_rows: Integers, t_rows: Integers
) -> list[tuple[str, Images]]:
    """`parts_of` the pairs at some places of a task's splits."""
    x_s, _ = masked_images(task.source, task.source_masks, s_rows)
    return parts_of(gan, x_s, *masked_images(task.target, task.target_masks, t_rows))


@torch.no_grad()
def parts_of(gan: Generator, x_s: Tensor, x_t: Tensor, m_t: Tensor) -> list[tuple[str, Images]]:
    """X_S, X_T, M_T, X'_T (eq. 2), X_R, X_C and X_G (eq. 3) of pairs, as labelled images.

    Arguments as for `Generator.parts`.
    """
    made = gan.parts(x_s, x_t, m_t)
    return [
        ("X_S", from_gan(x_s)),
        ("X_T", from_gan(x_t)),
        ("M_T", _grey(m_t)),
        ("X'_T", from_gan(masked_target(x_t, m_t))),
        ("X_R", from_gan(made.x_r)),
        ("X_C", _grey(made.x_c)),
        ("X_G", from_gan(made.x_g)),
    ]


def _grey(values: Tensor) -> Images:
    """Values in [0, 1], (B, 1 or 3, H, W), as images: 1 is white."""
    return from_gan((values * 2 - 1).expand(-1, 3, -1, -1))
