"""One seed, and what else must be fixed for it to fix the bytes."""

from __future__ import annotations


def seed_everything(seed: int, threads: int) -> None:
    """Seed torch and fix its threads and algorithms, so that a seed fixes the bytes on a CPU."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    # does what use_deterministic_algorithms(True, warn_only=True) does, without importing the
    # compiler: two seconds of every job
    torch.set_deterministic_debug_mode("warn")
