"""JPPNet against TensorFlow: `make check-jppnet`, or

    python -m tests.exactness.jppnet_tf [--tensorflow PYTHON] [--authors CHECKOUT]

Each case has TensorFlow build the released graph with random weights and batch-norm statistics,
save its checkpoint and evaluate an image (`jppnet_graph.py`, a process of its own); the checkpoint
is read by TensorFlow and converted into our network, and all maps are compared. Then one thing
after the other is made wrong (epsilon, padding, resizing, ...), and each has to be noticed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch.nn import functional as F

from crgan.masks.jppnet import Options, convert, inference, network
from crgan.masks.jppnet.convert import convert_file, tensorflow_name
from crgan.masks.jppnet.inference import load_file, parsing_scores

LIMIT = 1e-4  # on each value; the maps' values are of the order of one
GRAPH = Path(__file__).with_name("jppnet_graph.py")
READER = Path(convert.__file__).with_name("read_checkpoint.py")


@dataclass(frozen=True)
class Case:
    """A width, the side at scale 1, the image's size, and what else the checkpoint holds."""

    width: int
    side: int
    size: tuple[int, int]
    momentum: bool = False
    authors: bool = False


CASES = {
    "reduced": Case(8, 384, (128, 64), momentum=True),
    "odd": Case(4, 100, (71, 33)),  # sides 100, 75 and 125: both paddings of both strided layers
    "small": Case(64, 96, (61, 30)),
    "full": Case(64, 384, (128, 64)),
    "authors": Case(64, 96, (61, 30), authors=True),
}


def run_tensorflow(case: Case, python: Path, authors: Path | None, out: Path) -> None:
    command = [
        str(python), str(GRAPH), "--out", str(out), "--width", str(case.width),
        "--side", str(case.side), "--size", *map(str, case.size),
        "--threads", str(torch.get_num_threads()),
    ]  # fmt: skip
    command += ["--momentum"] if case.momentum else []
    command += ["--authors", str(authors)] if case.authors else []
    read = [str(python), str(READER), str(out / "JPPNet-s2"), str(out / "tensors.npz")]
    for words in (command, read):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"TensorFlow failed:\n{done.stderr[-3000:]}")


def ours(case: Case, net: network.JPPNet, image: np.ndarray) -> dict[str, np.ndarray]:
    """The same maps as `jppnet_graph.py` saves, channels last as there."""
    options = Options(side=case.side)
    views = inference.preprocess(image)
    views = torch.cat([views, views.flip(3)])
    with torch.inference_mode():
        maps = net(inference.resize(views, case.side, case.side), third_pose=True)
        scores = parsing_scores(net, image, options, torch.device("cpu"))
    named = {f"parsing{i}": m for i, m in enumerate(maps.parsing, 1)}
    named |= {f"pose{i}": m for i, m in enumerate(maps.pose, 1)}
    found = {name: m.permute(0, 2, 3, 1).numpy() for name, m in named.items()}
    return found | {"scores": scores.permute(1, 2, 0).numpy()}


def differences(reference: Any, found: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: float(np.abs(reference[name] - values).max()) for name, values in found.items()}


def compare(name: str, case: Case, folder: Path) -> bool:
    """Convert, evaluate, print; whether all is within the limit."""
    reference = np.load(folder / "reference.npz")
    out = folder / "jppnet.pth"
    record = convert_file(folder / "tensors.npz", out)
    net, _ = load_file(out)
    theirs = {n for n in reference["names"].tolist() if not n.endswith("/Momentum")}
    if theirs != {tensorflow_name(key) for key in net.state_dict()}:
        sys.exit(f"{name}: the graph's variables are not ours")
    found = ours(case, net.eval(), reference["image"])
    worst = differences(reference, found)
    size = {key: float(np.abs(reference[key]).max()) for key in found}
    same = (reference["scores"].argmax(2) == found["scores"].argmax(2)).mean()
    print(f"{name}: {case}")
    print(f"{name}: {record['tensors']} tensors, momentum of {record['momentum_tensors_left_out']}")
    print(f"{name}: labels equal at {100 * same:.3f} % of the pixels")
    for key, value in worst.items():
        print(f"{name}: {key:9} largest value {size[key]:7.3f}, largest difference {value:.1e}")
    good = max(worst.values()) <= LIMIT
    print(f"{name}: {'ok' if good else 'FAILED'} (limit {LIMIT})", flush=True)
    return good


def symmetric(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """PyTorch's habit: kernel // 2 on both sides."""
    return kernel // 2, kernel // 2


def half_pixel(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return F.interpolate(x, (height, width), mode="bilinear", align_corners=False)


FAULTS: dict[str, tuple[Any, str, Any]] = {
    "epsilon 1e-5": (network, "EPSILON", 1e-5),
    "symmetric padding": (network, "same_padding", symmetric),
    "half-pixel resizing": (inference, "resize", half_pixel),
    "no left-right swap": (inference, "MIRRORED", tuple(range(20))),
    "mean of RGB, not BGR": (inference, "MEAN_BGR", inference.MEAN_BGR[::-1]),
}


def notices_faults(case: Case, folder: Path) -> bool:
    """Whether each fault exceeds the limit."""
    reference = np.load(folder / "reference.npz")
    net, _ = load_file(folder / "jppnet.pth")
    good = True
    for name, fault in FAULTS.items():
        with mock.patch.object(*fault):
            worst = differences(reference, ours(case, net, reference["image"]))
        noticed = worst["scores"] > 10 * LIMIT
        good &= noticed
        said = "noticed" if noticed else "NOT NOTICED"
        print(f"fault {name}: scores differ by {worst['scores']:.1e}, {said}", flush=True)
    return good


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--tensorflow", type=Path, default=Path(".venv-tensorflow/bin/python"))
    parser.add_argument("--authors", type=Path, help="checkout of Engineering-Course/LIP_JPPNet")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    names = args.cases or [n for n, c in CASES.items() if args.authors or not c.authors]
    good = True
    for name in names:
        case = CASES[name]
        if case.authors and args.authors is None:
            sys.exit(f"case {name} needs --authors")
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            run_tensorflow(case, args.tensorflow, args.authors, folder)
            good &= compare(name, case, folder)
            if name == "reduced":
                good &= notices_faults(case, folder)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
