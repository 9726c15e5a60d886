"""LPIPS's own example: 0.722 for the blurred image, 0.138 for the warped one.

    python -m benchmarks.lpips_examples FOLDER

FOLDER holds ex_ref.png, ex_p0.png and ex_p1.png of `imgs/` in the authors' repository,
github.com/richzhang/PerceptualSimilarity, known here by their hashes. Ours and the unmodified
package's values are printed beside the published ones; the command ends with status 1 where either
differs from them in the third decimal.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import lpips
import numpy as np
import torch
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.io import sha256_file
from crgan.metrics.lpips_distance import load_lpips, paired
from crgan.weights.registry import ROOT, weights_path

REFERENCE = "ex_ref"
PUBLISHED = {"ex_p0": 0.722, "ex_p1": 0.138}  # README of the package's repository
SHA256 = {
    "ex_ref": "57aff3a0aeb6ebea151411f35b4487ea130aedcac6addd91c8c015969f9df097",
    "ex_p0": "f44901a99c82755cfe78cdbde66579ae06cd0ebbba4a2539aa35ef96bbe703db",
    "ex_p1": "6ada2a42a3378bfa408027ba2d54a827c6f2cec30a0506e4f140fddaca661022",
}


def read_examples(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """The three images, each (1, 64, 64, 3) RGB.

    Raises:
        UserError: one is missing, or is not the authors' image.
    """
    images = {}
    for name, expected in SHA256.items():
        path = folder / f"{name}.png"
        if not path.is_file():
            raise UserError(
                f"{path}: no such file; take imgs/{path.name} of "
                "github.com/richzhang/PerceptualSimilarity"
            )
        if sha256_file(path) != expected:
            raise UserError(f"{path}: not the authors' image (SHA-256 differs)")
        images[name] = np.asarray(lpips.load_image(str(path)), dtype=np.uint8)[None]
    return images


def values(images: dict[str, NDArray[np.uint8]], trunk: Path) -> dict[str, tuple[float, float]]:
    """LPIPS of each distorted image to the reference: ours, and the package's own."""
    net = load_lpips(trunk)
    package = _package(trunk)
    found = {}
    for name in PUBLISHED:
        ours = float(paired(net, images[REFERENCE], images[name])[0])
        tensors = [lpips.im2tensor(images[key][0]) for key in (REFERENCE, name)]
        with torch.no_grad():
            found[name] = (ours, float(package(*tensors)))
    return found


def _package(trunk: Path) -> lpips.LPIPS:
    """The package's module with its own constructor, which alone would download the trunk."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    state = torch.load(trunk, weights_only=True)
    for key, tensor in model.net.state_dict().items():
        tensor.copy_(state[key.split(".", 1)[1]])
    return model.eval()


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.lpips_examples",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="where the three images are")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder of the weight files")
    args = parser.parse_args(argv)
    try:
        found = values(read_examples(args.folder), weights_path("lpips_alexnet", args.root))
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print(f"{'image':8} {'published':>9} {'ours':>9} {'package':>9}")
    for name, (ours, package) in found.items():
        print(f"{name:8} {PUBLISHED[name]:9.3f} {ours:9.6f} {package:9.6f}")
    if any(abs(v - PUBLISHED[n]) >= 5e-4 for n, both in found.items() for v in both):
        print("differs from the published values", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
