"""The small CNN's teacher: the loss falls, and the teacher is left as it was."""

from __future__ import annotations

import numpy as np
import torch

from crgan.nets.reid import ReidNet
from crgan.reid.distil import distil


def test_the_student_comes_nearer_to_an_unchanged_teacher() -> None:
    torch.manual_seed(0)
    images = np.random.default_rng(0).integers(0, 255, (16, 32, 16, 3)).astype(np.uint8)
    teacher, student = ReidNet("small", 4, 0), ReidNet("small", 3, 0)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    losses = distil(teacher, student, images, iterations=40, batch=8, lr=0.01, seed=0)
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
