"""Number formats, memory order and compilation side by side, on this machine's CPU, in one run.

    python -m benchmarks.precision                             # all ways; compiling takes minutes
    python -m benchmarks.precision --ways float32 bfloat16     # some of them

Two tasks: an iteration of CR-GAN (D_d once, G once) with the sizes of a profile, and ResNet50
forward and backward with Adam's step. Every way is the section `run` of the parameters with one key
changed, and runs the code that the stages run. Images are noise; no result depends on them.

The instructions that decide are printed first: without `avx512_bf16` or `amx_bf16` a processor
computes in float32 and converts to and fro.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional as F

from benchmarks.gan_step import set_up
from benchmarks.rounds import compare, table
from crgan.nets.reid import ReidNet
from crgan.train.compute import PLAIN, Compute
from crgan.train.optimizers import Adam

WAYS = {
    "float32": PLAIN,
    "bfloat16": Compute(precision="bfloat16"),
    "channels_last": Compute(channels_last=True),
    "both": Compute(precision="bfloat16", channels_last=True),
    "compile": Compute(compile="default"),
}
CLASSES = 751


def gan_iterations(args: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """An iteration of CR-GAN, by way."""
    made: dict[str, Callable[[], object]] = {}
    for way in args.ways:
        training, batches = set_up(args, WAYS[way])
        pairs = next(batches)
        made[way] = lambda training=training, pairs=pairs: training.step(0, pairs)
    return made


def resnet_steps(args: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """A step of ResNet50 with its classifier, by way."""
    made: dict[str, Callable[[], object]] = {}
    x = torch.rand(args.resnet_batch, 3, args.height, args.height // 2) * 2 - 1
    y = torch.arange(args.resnet_batch) % CLASSES
    for way in args.ways:
        torch.manual_seed(0)
        net = ReidNet("resnet50", 64, CLASSES).train()
        compute = WAYS[way]
        compute.prepare(net)
        adam = Adam(net.parameters(), 1e-5)
        made[way] = lambda compute=compute, net=net, adam=adam: compute.descend(
            adam, F.cross_entropy(net(x), y), 1e-5
        )
    return made


def report(title: str, candidates: dict[str, Callable[[], object]], rounds: int) -> None:
    """Measure, after a call of each that is not measured, and print."""
    for run in candidates.values():
        run()
    timings = compare(candidates, rounds)
    base = statistics.median(timings["float32"].cpu)
    print(f"\n{title}, medians of {rounds} rounds")
    print(table(timings, relative_to="float32"))
    for way, timing in timings.items():
        ratios = [a / b for a, b in zip(timing.cpu, timings["float32"].cpu, strict=True)]
        print(
            f"{way}: {statistics.median(timing.cpu) / base:.2f} of float32's processor time "
            f"(rounds {min(ratios):.2f}-{max(ratios):.2f})"
        )


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.precision",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", default="demo")
    for name in ("batch", "width", "levels", "discriminator-width"):
        parser.add_argument(f"--{name}", type=int, help="of the GAN, instead of the profile's")
    parser.add_argument("--height", type=int, default=128, help="of ResNet50's images")
    parser.add_argument("--resnet-batch", type=int, default=8)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument(
        "--tasks", nargs="+", choices=("gan", "resnet50"), default=["gan", "resnet50"]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    if "float32" not in args.ways:
        parser.error("--ways: float32 is what the others are compared with")
    torch.set_num_threads(args.threads)
    print(f"bf16 instructions: {', '.join(bf16_instructions()) or 'none'}")
    if "gan" in args.tasks:
        report(f"CR-GAN, an iteration, profile {args.profile}", gan_iterations(args), args.rounds)
    if "resnet50" in args.tasks:
        size = f"{args.resnet_batch} of {args.height}x{args.height // 2}"
        report(f"ResNet50, a step, {size}", resnet_steps(args), args.rounds)


def bf16_instructions() -> list[str]:
    """Which of the processor's instructions compute in bfloat16."""
    info = Path("/proc/cpuinfo")
    known = info.read_text().split() if info.exists() else []
    return sorted({"avx512_bf16", "amx_bf16"} & set(known))


if __name__ == "__main__":
    main()
