"""Make `small_things`, the starting weights of the demo's small CNN (registry: weights.yaml).

    python -m stages.distil_start --teacher resources/weights/mobilenetv2_features.pth \\
        --out crgan/weights/small_things.npz

MobileNetV2, trained on ImageNet, teaches it on generated images of things, among them no person.
The file is in the repository; this command says how it came there, and is no part of the workflow.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean

from crgan.common.io import atomic_path, load_torch, sha256_bytes


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.distil_start",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--teacher", type=Path, required=True, help="mobilenetv2_imagenet's file")
    parser.add_argument("--out", type=Path, required=True, help="packed weights, .npz")
    parser.add_argument("--width", type=int, default=12, help="of the small CNN")
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--iterations", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    return parser


def make(args: argparse.Namespace) -> None:
    """Draw, teach, pack and write."""
    from crgan.common.seeding import seed_everything
    from crgan.nets.reid import ReidNet
    from crgan.reid.distil import distil
    from crgan.synth.things import images_of_things
    from crgan.weights.formats import pack

    seed_everything(args.seed, 1)
    teacher = ReidNet("mobilenetv2", 32, 0, last_stride=1)
    teacher.load_backbone(load_torch(args.teacher), str(args.teacher))
    student = ReidNet("small", args.width, 0)
    losses = distil(
        teacher, student, images_of_things(args.images, (64, 32), args.seed),
        iterations=args.iterations, batch=32, lr=0.005, seed=args.seed,
    )  # fmt: skip
    data = pack(student.backbone.state_dict())
    with atomic_path(args.out) as temporary:
        temporary.write_bytes(data)
    last = fmean(losses[-100:])
    print(f"{args.out}: {len(data)} bytes, sha256 {sha256_bytes(data)}; last loss {last:.3f} of 1")


if __name__ == "__main__":
    make(arguments().parse_args())
