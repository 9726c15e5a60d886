"""An iteration of our CycleGAN beside one of a plain implementation of the same, in one run.

    python -m benchmarks.cyclegan_step                                    # the demo's sizes
    python -m benchmarks.cyclegan_step --profile paper --batch 1 --rounds 3

"plain" is written as CycleGAN code usually is: reflection padding and instance norm as layers of
their own, one forward pass for each image of the losses, Adam as it comes, discriminators one
after the other, a pool that keeps images in a list. Both have the same networks and weights, and
do the same arithmetic on the same images: their losses after the rounds are compared as well.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.rounds import Timing, compare
from crgan.common.settings import settings_from
from crgan.data.store import Split
from crgan.gan.base import Task
from crgan.gan.cyclegan import Options, Training
from crgan.gan.pairs import PairBatches, Pairs
from crgan.pipeline import params as parameters


def unit(conv: nn.Module, channels: int) -> list[nn.Module]:
    """A convolution, its norm and ReLU."""
    return [conv, nn.InstanceNorm2d(channels), nn.ReLU(True)]


class PlainBlock(nn.Module):
    """x + two 3x3 convolutions of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1), *unit(nn.Conv2d(channels, channels, 3), channels),
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.layers(x)
        return y


def plain_generator(width: int, blocks: int, kernel: int = 7) -> nn.Sequential:
    """c7s1-w, d2w, d4w, R4w x blocks, u2w, uw, c7s1-3."""
    w, around = width, kernel // 2
    return nn.Sequential(
        nn.ReflectionPad2d(around), *unit(nn.Conv2d(3, w, kernel), w),
        *unit(nn.Conv2d(w, 2 * w, 3, 2, 1), 2 * w),
        *unit(nn.Conv2d(2 * w, 4 * w, 3, 2, 1), 4 * w),
        *(PlainBlock(4 * w) for _ in range(blocks)),
        *unit(nn.ConvTranspose2d(4 * w, 2 * w, 3, 2, 1, 1), 2 * w),
        *unit(nn.ConvTranspose2d(2 * w, w, 3, 2, 1, 1), w),
        nn.ReflectionPad2d(around), nn.Conv2d(w, 3, kernel), nn.Tanh(),
    )  # fmt: skip


def plain_discriminator(width: int, layers: int) -> nn.Sequential:
    """PatchGAN: 4x4 convolutions, the first without a norm."""
    steps: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    before = width
    for i in range(1, layers + 1):
        after = width * min(2**i, 8)
        conv = nn.Conv2d(before, after, 4, 2 if i < layers else 1, 1)
        steps += [conv, nn.InstanceNorm2d(after), nn.LeakyReLU(0.2, True)]
        before = after
    return nn.Sequential(*steps, nn.Conv2d(before, 1, 4, 1, 1))


class ListPool:
    """The history of fakes, a list of images."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def query(self, fakes: Tensor) -> Tensor:
        """Each new fake, or half of the time an older one in its place."""
        if not self.size:
            return fakes
        given = []
        for fake in fakes:
            fake = fake.detach().unsqueeze(0)
            if len(self.images) < self.size:
                self.images.append(fake)
                given.append(fake)
            elif random.random() < 0.5:
                place = random.randrange(self.size)
                given.append(self.images[place].clone())
                self.images[place] = fake
            else:
                given.append(fake)
        return torch.cat(given)


class Plain:
    """CycleGAN as it is usually written."""

    def __init__(self, o: Options) -> None:
        self.o = o
        self.g, self.f = (plain_generator(o.width, o.blocks, o.kernel) for _ in range(2))
        self.d_b, self.d_a = (
            plain_discriminator(o.discriminator_width, o.discriminator_layers) for _ in range(2)
        )
        self.pool_b, self.pool_a = ListPool(o.pool), ListPool(o.pool)
        of_g = chain(self.g.parameters(), self.f.parameters())
        of_d = chain(self.d_b.parameters(), self.d_a.parameters())
        self.adam_g = torch.optim.Adam(of_g, o.lr, o.adam_betas)
        self.adam_d = torch.optim.Adam(of_d, o.lr, o.adam_betas)
        self.l1, self.mse = nn.L1Loss(), nn.MSELoss()

    def copy(self, ours: Training) -> None:
        """Take over the weights of our networks, tensor by tensor."""
        with torch.no_grad():
            for name in ("g", "f", "d_b", "d_a"):
                pairs = zip(
                    getattr(self, name).parameters(), getattr(ours, name).parameters(), strict=True
                )
                for mine, theirs in pairs:
                    mine.copy_(theirs)

    def is_real(self, decisions: Tensor, real: bool) -> Tensor:
        """LSGAN: the mean squared distance to a map of ones or zeros."""
        return self.mse(decisions, torch.full_like(decisions, float(real)))

    def step(self, x_a: Tensor, x_b: Tensor) -> dict[str, Tensor]:
        """One iteration: both generators, then D_b, then D_a."""
        o = self.o
        fake_b = self.g(x_a)
        again_a = self.f(fake_b)
        fake_a = self.f(x_b)
        again_b = self.g(fake_a)
        self.require(False)
        self.adam_g.zero_grad()
        adv = self.is_real(self.d_b(fake_b), True) + self.is_real(self.d_a(fake_a), True)
        cycle = self.l1(again_a, x_a) + self.l1(again_b, x_b)
        loss = adv + o.lambda_cycle * cycle
        if o.lambda_identity:
            same = self.l1(self.g(x_b), x_b) + self.l1(self.f(x_a), x_a)
            loss = loss + o.lambda_identity * same
        loss.backward()
        self.adam_g.step()
        self.require(True)
        self.adam_d.zero_grad()
        loss_d = self.learn_d(self.d_b, x_b, self.pool_b.query(fake_b))
        loss_d = loss_d + self.learn_d(self.d_a, x_a, self.pool_a.query(fake_a))
        self.adam_d.step()
        return {"loss_adv": adv.detach(), "loss_cycle": cycle.detach(), "loss_d": loss_d}

    def require(self, wanted: bool) -> None:
        """Whether the discriminators' gradients are computed."""
        for p in chain(self.d_b.parameters(), self.d_a.parameters()):
            p.requires_grad = wanted

    def learn_d(self, d: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        """Gradients of one discriminator."""
        loss = 0.5 * (self.is_real(d(real), True) + self.is_real(d(fake.detach()), False))
        loss.backward()
        return loss.detach()


def set_up(args: argparse.Namespace) -> tuple[Training, Plain, PairBatches]:
    """Both implementations with the sizes of a profile and equal weights, on noise."""
    params = parameters.load()
    params["profile"] = args.profile
    height, width = params["profiles"][args.profile]["image"]["train"]
    section: dict[str, Any] = {**params["cyclegan"], **params["profiles"][args.profile]["cyclegan"]}
    section["iterations"] = 10**9
    for key in ("batch", "width", "blocks", "discriminator_width"):
        section[key] = getattr(args, key) or section[key]
    o = settings_from(Options, section, "cyclegan")
    rng = np.random.default_rng(0)
    n = 4 * o.batch
    images = rng.integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    numbers = np.arange(n, dtype=np.int64)
    split = Split(images, numbers, numbers % 2, numbers)
    masks = np.zeros((n, height, width), dtype=np.bool_)
    task = Task(split, split, masks, masks, height, width)
    torch.manual_seed(0)
    ours, plain = Training(o, task, 0, "cpu"), Plain(o)
    plain.copy(ours)
    return ours, plain, PairBatches(task, numbers, numbers, o.batch, 0, "cpu", flip=o.flip)


def gflop(work: Callable[[], object]) -> float:
    """Floating point operations of a call, in 1e9."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e9


def report(timings: dict[str, Timing], flops: dict[str, float], batch: int) -> None:
    """Print medians, the ratio of each round, and rates."""
    for name, timing in timings.items():
        cpu = statistics.median(timing.cpu)
        print(
            f"  {name:6} {1e3 * cpu:9.1f} ms  {batch / cpu:8.3g} images/cpu-s  "
            f"{flops[name] / batch:7.2f} GFLOP/image  {flops[name] / cpu:5.1f} GFLOP/s  "
            f"{max(timing.extra_mb):6.0f} MB above the start"
        )
    for kind in ("cpu", "wall"):
        pairs = zip(getattr(timings["ours"], kind), getattr(timings["plain"], kind), strict=True)
        ratios = sorted(ours / plain for ours, plain in pairs)
        print(
            f"  ours / plain by {kind} time: {statistics.median(ratios):.3f} "
            f"(rounds from {ratios[0]:.3f} to {ratios[-1]:.3f})"
        )


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cyclegan_step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", default="demo")
    for name in ("batch", "width", "blocks", "discriminator-width"):
        parser.add_argument(f"--{name}", type=int, help="instead of the profile's")
    parser.add_argument("--steps", type=int, default=3, help="iterations in a round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    ours, plain, batches = set_up(args)
    o = ours.options
    ready: list[Pairs] = [next(batches) for _ in range(args.steps)]

    def our_round() -> dict[str, Tensor]:
        return [ours.step(0, pairs) for pairs in ready][-1]

    def plain_round() -> dict[str, Tensor]:
        return [plain.step(pairs.x_s, pairs.x_t) for pairs in ready][-1]

    rounds: dict[str, Callable[[], object]] = {"ours": our_round, "plain": plain_round}
    flops = {name: gflop(work) for name, work in rounds.items()}  # warms up as well
    timings = compare(rounds, args.rounds)
    size = "x".join(map(str, ready[0].x_s.shape[2:]))
    print(
        f"{size}, width {o.width}, {o.blocks} blocks, discriminators {o.discriminator_width} wide, "
        f"batch {o.batch}, {args.threads} thread(s); {args.steps} iterations a round, medians of "
        f"{args.rounds} rounds in turn\n"
    )
    report(timings, flops, args.steps * o.batch)
    last: list[Any] = [timings[name].result for name in ("ours", "plain")]
    texts = [", ".join(f"{k} {r[k].item():.4f}" for k in sorted(last[1])) for r in last]
    print(f"  losses at the end: ours {texts[0]}; plain {texts[1]}")


if __name__ == "__main__":
    main()
