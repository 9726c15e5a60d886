"""Where a CR-GAN iteration's time goes, and what it costs beside a CycleGAN iteration.

    python -m benchmarks.gan_step                                  # the demo's sizes
    python -m benchmarks.gan_step --profile paper --batch 2        # the paper's, smaller batch

Shares: one iteration (D_d once, G once) taken apart at X_G: each loss' gradient with respect to X_G
is timed by itself, then the generator's backward pass. The parts do the arithmetic of
`Training.step`, whose own time stands beside their sum.

CycleGAN: the plain implementation of `benchmarks.cyclegan_step`, at the same width. It renders in
both directions and back again: the ratio is the cost of two different methods, not two speeds of
one. Images are noise; no result depends on them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.cyclegan_step import Plain, gflop
from benchmarks.rounds import compare
from crgan.common.settings import settings_from
from crgan.data.store import Split
from crgan.gan import cyclegan, losses
from crgan.gan.base import Classifier, Task
from crgan.gan.crgan import Options, Training, Weights
from crgan.gan.pairs import PairBatches
from crgan.nets.camera import CameraNet
from crgan.nets.reid import ReidNet
from crgan.pipeline import params as parameters
from crgan.train.compute import PLAIN, Compute


def take_apart(training: Training, batches: PairBatches) -> dict[str, float]:
    """CPU seconds of the parts of one iteration with k = 1."""
    parts: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = work()
        parts[name] = parts.get(name, 0.0) + time.process_time() - start
        return result

    def gradient(name: str, loss: Callable[[Tensor], Tensor]) -> Tensor:
        leaf = x_g.detach().requires_grad_()
        return timed(name, lambda: torch.autograd.grad(loss(leaf), leaf)[0])

    o = training.options
    p = timed("data", lambda: next(batches))
    x_g = timed("G forward", lambda: training.g(p.x_s, p.x_t, p.m_t))
    fake = x_g.detach()
    training.adam_d.zero_grad()
    loss_d = timed(
        "D_d update", lambda: losses.adversarial_d(training.d_d(p.x_t), training.d_d(fake))
    )
    timed("D_d update", loss_d.backward)
    timed("Adam", training.adam_d.step)
    training.d_d.requires_grad_(False)
    total = gradient("D_d for G", lambda x: losses.adversarial_g(training.d_d(x)))
    total = total + gradient("D_id", lambda x: losses.identity(training.d_id(x), p.y_j))
    total = total + gradient("D_cam", lambda x: losses.camera(training.d_cam(x), p.y_c))
    total = total + gradient(
        "context loss",
        lambda x: losses.context(x, p.x_s, p.x_t, p.m_f, 1 - p.m_f, o.context_norm),
    )
    training.adam_g.zero_grad()
    timed("G backward", lambda: x_g.backward(total))
    timed("Adam", training.adam_g.step)
    training.d_d.requires_grad_(True)
    return parts


def set_up(args: argparse.Namespace, compute: Compute = PLAIN) -> tuple[Training, PairBatches]:
    """CR-GAN with the sizes of a profile, on noise."""
    params = parameters.load()
    params["profile"] = args.profile
    section = parameters.slice_of("train_gan", params, method="crgan")
    cnn = parameters.slice_of("pretrain_id", params)["cnn"]
    cam = parameters.slice_of("pretrain_cam", params)["pretrain_cam"]
    height, width = section["image"]["train"]
    gan = {**section["gan"], "iterations": 10**9, "batch": args.batch or section["gan"]["batch"]}
    for key in ("width", "levels", "discriminator_width"):
        gan[key] = getattr(args, key) or gan[key]
    rng = np.random.default_rng(0)
    n = 4 * gan["batch"]
    images = rng.integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    numbers = np.arange(n, dtype=np.int64)
    split = Split(images, numbers % 10, numbers % 6, numbers)
    masks = rng.random((n, height, width)) < 0.4
    torch.manual_seed(0)
    options = settings_from(Options, gan, "gan")
    d_id = Classifier(ReidNet(cnn["backbone"], cnn["width"], 751), tuple(range(751)), "D_id")
    d_cam = Classifier(CameraNet(cam["width"], 6), tuple(range(6)), "D_cam")
    weights = settings_from(Weights, section["loss"], "loss")
    training = Training(options, weights, d_id.net, d_cam.net, compute)
    task = Task(split, split, masks, masks, height, width)
    y_j, y_c = d_id.labels(split.pid), d_cam.labels(split.camid)
    return training, PairBatches(task, y_j, y_c, options.batch, 0, "cpu", flip=options.flip)


def plain_cyclegan(o: Options, height: int) -> Plain:
    """CycleGAN as wide as CR-GAN; its authors use 9 blocks from 256 pixels on, and 6 below."""
    section = {
        **parameters.load()["cyclegan"], "iterations": o.iterations, "batch": o.batch,
        "width": o.width, "blocks": 9 if height >= 256 else 6, "sample_every": o.sample_every,
        "discriminator_width": o.discriminator_width, "discriminator_layers": 3,
    }  # fmt: skip
    return Plain(settings_from(cyclegan.Options, section, "cyclegan"))


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gan_step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", default="demo")
    for name in ("batch", "width", "levels", "discriminator-width"):
        parser.add_argument(f"--{name}", type=int, help="instead of the profile's")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    training, batches = set_up(args)
    o = training.options
    pairs = next(batches)
    cycle = plain_cyclegan(o, pairs.x_s.shape[2])
    last = o.iterations - 1  # in the second half, with k updates of G
    ordered, more = set_up(args, Compute(channels_last=True))
    candidates: dict[str, Callable[[], object]] = {
        "CR-GAN, k = 1": lambda: training.step(0, next(batches)),
        "channels_last": lambda: ordered.step(0, next(more)),
        f"CR-GAN, k = {o.g_updates(last)}": lambda: training.step(last, next(batches)),
        "CycleGAN": lambda: cycle.step(pairs.x_s, pairs.x_t),
    }
    flops = {name: gflop(work) / o.batch for name, work in candidates.items()}  # warms up as well
    timings = compare(candidates, args.rounds)
    seconds = {name: statistics.median(timing.cpu) for name, timing in timings.items()}
    taken = [take_apart(training, batches) for _ in range(args.rounds)]
    parts = {name: statistics.median(t[name] for t in taken) for name in taken[0]}

    size = "x".join(map(str, pairs.x_s.shape[2:]))
    print(
        f"{size}, width {o.width}, levels {o.levels}, D_d {o.discriminator_width} wide, batch ",
        end="",
    )
    print(f"{o.batch}, {args.threads} thread(s); CPU time, medians of {args.rounds}\n")
    total = sum(parts.values())
    for name, value in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"  {name:14} {1e3 * value:8.1f} ms  {100 * value / total:5.1f} %")
    whole = seconds["CR-GAN, k = 1"]
    print(f"  {'sum':14} {1e3 * total:8.1f} ms; Training.step takes {1e3 * whole:.1f} ms")
    ratio = seconds["channels_last"] / whole
    print(f"\nrun.channels_last: {ratio:.2f} of the time of an iteration, k = 1, in this run")
    print("\nCost of a source image, of different methods:")
    for name, value in seconds.items():
        rate, work = o.batch / value, flops[name]
        print(
            f"  {name:14} {rate:8.2f} images/s  {seconds['CycleGAN'] / value:5.2f} x CycleGAN  "
            f"{work:7.2f} GFLOP/image  {work * rate:5.1f} GFLOP/s"
        )


if __name__ == "__main__":
    main()
