"""Small made-up domains for the tests of the GAN: no files, no pre-training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from crgan.data.store import Split
from crgan.gan.base import Classifier, Task
from crgan.nets.camera import CameraNet
from crgan.nets.reid import ReidNet

HEIGHT, WIDTH = 16, 8
PIDS, CAMIDS = (3, 7, 12), (1, 4)
LOSS = {"lambda_adv": 2.0, "lambda_id": 1.0, "lambda_cam": 1.0, "lambda_con": 5.0}
GAN: dict[str, Any] = {
    "dual_condition": True,
    "lr": 0.0002,
    "g_updates_second_half": 2,
    "adam_betas": [0.5, 0.999],
    "noise_std": 0.1,
    "context_norm": "rms",
    "context_target_masked": False,
    "activation_residual": "tanh",
    "activation_mask": "sigmoid",
    "mask_channels": 1,
    "flip": True,
    "pathway_kernel": 7,
    "upsampling": "bilinear",
    "discriminator_norm": "instance",
    "history_every": 3,
    "iterations": 8,
    "batch": 3,
    "width": 4,
    "levels": 2,
    "discriminator_width": 4,
    "discriminator_layers": 1,
    "sample_every": 4,
}


def split(colour: int, n: int, pids: tuple[int, ...], camids: tuple[int, ...]) -> Split:
    """Noise around a grey level, `colour`."""
    rng = np.random.default_rng(colour)
    images = rng.integers(colour, colour + 60, (n, HEIGHT, WIDTH, 3)).astype(np.uint8)
    rows = np.arange(n, dtype=np.int64)
    return Split(
        images, np.array(pids)[rows % len(pids)], np.array(camids)[rows % len(camids)], rows
    )


def masks(n: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """A person in the left half."""
    mask = np.zeros((n, HEIGHT, WIDTH), dtype=np.bool_)
    mask[:, 2:-2, : WIDTH // 2] = True
    return mask


def task(n: int = 9, m: int = 10) -> Task:
    """A dark source and a light target."""
    return Task(
        split(20, n, PIDS, (1, 2)), split(180, m, (1,), CAMIDS), masks(n), masks(m), HEIGHT, WIDTH
    )


def judges() -> tuple[Classifier, Classifier]:
    """Untrained D_id and D_cam."""
    torch.manual_seed(11)
    d_id, d_cam = ReidNet("small", 4, len(PIDS)), CameraNet(4, len(CAMIDS))
    return Classifier(d_id, PIDS, "d_id.pt"), Classifier(d_cam, CAMIDS, "d_cam.pt")
