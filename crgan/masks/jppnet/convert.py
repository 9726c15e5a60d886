"""Make our weights file from the tensors of the authors' checkpoint `JPPNet-s2`.

    make jppnet CHECKPOINT=DOWNLOADED/JPPNet-s2        both steps: TensorFlow reads, this converts
    python -m crgan.masks.jppnet.convert TENSORS.npz --out resources/weights/jppnet.pth

The authors (github.com/Engineering-Course/LIP_JPPNet) offer the checkpoint on Google Drive only:
a folder with `model.ckpt-*.index` and `model.ckpt-*.data-00000-of-00001`, which
`read_checkpoint.py` makes an .npz of. Every tensor in it is accounted for: it becomes one of ours,
or is the training's momentum of one that does, or the conversion stops. Beside the file stands
`jppnet.pth.json` with its SHA-256, by which `weights.yaml` knows the file, and those of the
checkpoint's files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from crgan.common.errors import UserError
from crgan.common.io import load_arrays, save_torch, sha256_file, write_json
from crgan.masks.jppnet.network import JPPNet
from crgan.weights.formats import StateDict, tensors_sha256
from crgan.weights.registry import ROOT, record_beside

_MOMENTUM = "/Momentum"  # slot of TensorFlow's MomentumOptimizer
_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_BACKBONE = {"weight": "weights", "bias": "biases"}
_HEAD = {"weight": "w", "bias": "b"}
_FILE = "sha256/"  # name of the array that holds the hash of a file
_SHOWN = 5  # names in a message


@dataclass(frozen=True)
class Converted:
    """What a checkpoint became.

    Attributes:
        state: JPPNet's state dict.
        momentum: names of the optimiser's tensors, which are not read.
        ignored: names the caller asked to ignore.
    """

    state: StateDict
    momentum: tuple[str, ...]
    ignored: tuple[str, ...]


def tensorflow_name(key: str) -> str:
    """The released graph's variable behind a key of JPPNet's state dict.

    `conv1.weight` is conv1/weights, `bn_conv1.running_var` bn_conv1/moving_variance and
    `fc1_pose.pose_conv1.bias` fc1_pose/pose_conv1/b.
    """
    *layer, kind = key.split(".")
    kinds = _NORM if layer[0].startswith("bn") else _HEAD if len(layer) > 1 else _BACKBONE
    return "/".join([*layer, kinds[kind]])


def tensorflow_shape(shape: Iterable[int]) -> tuple[int, ...]:
    """Our shape as TensorFlow has it: kernels (height, width, in, out), not (out, in, ...)."""
    shape = tuple(shape)
    return (*shape[2:], shape[1], shape[0]) if len(shape) == 4 else shape


def convert(
    entries: Mapping[str, NDArray[Any]], ignore: Iterable[str] = (), origin: str = "checkpoint"
) -> Converted:
    """JPPNet's state dict from a checkpoint's tensors by name; conv1 tells the width.

    Args:
        ignore: names of tensors to leave out.
        origin: what messages call the checkpoint.

    Raises:
        UserError: a tensor that is missing, has another shape, is damaged or not finite, or has no
            place here; nothing is guessed.
    """
    ignored = tuple(sorted(ignore))
    if "conv1/weights" not in entries or len(entries["conv1/weights"].shape) != 4:
        raise UserError(f"{origin}: has no conv1/weights; not a checkpoint of JPPNet")
    with torch.device("meta"):
        wanted = JPPNet(width=max(entries["conv1/weights"].shape[3], 1)).state_dict()
    names = {tensorflow_name(key): key for key in wanted}
    shapes = {name: tensorflow_shape(wanted[key].shape) for name, key in names.items()}
    momentum = tuple(
        n for n in entries if n.endswith(_MOMENTUM) and n.removesuffix(_MOMENTUM) in names
    )
    _refuse(origin, "missing", names.keys() - entries.keys())
    _refuse(origin, "not in it, though to be ignored", set(ignored) - entries.keys())
    _refuse(origin, "part of the network, not to be ignored", set(ignored) & names.keys())
    _refuse(
        origin,
        "without a place in JPPNet (look at them; --ignore NAME takes one as read)",
        entries.keys() - names.keys() - set(momentum) - set(ignored),
    )
    _refuse(
        origin,
        "of another shape",
        {n for n in (*names, *momentum) if entries[n].shape != shapes[n.removesuffix(_MOMENTUM)]},
    )
    state = {
        key: _tensor(origin, name, entries[name])
        for name, key in tqdm(names.items(), "tensors", leave=False)
    }
    return Converted(state, momentum, ignored)


def convert_file(source: Path, out: Path, ignore: Iterable[str] = ()) -> dict[str, object]:
    """Write `out` and its record from an .npz of `read_checkpoint.py`; returns the record.

    Raises:
        UserError: the checkpoint's reason; nothing is written then.
    """
    if out.suffix != ".pth":
        raise UserError(f"{out}: name the file .pth, as weights.yaml does")
    arrays = load_arrays(source)
    origins = {
        name.removeprefix(_FILE): str(arrays.pop(name))
        for name in list(arrays)
        if name.startswith(_FILE)
    }
    converted = convert(arrays, ignore, str(source))
    save_torch(out, converted.state)
    record = {
        "sha256": sha256_file(out),
        "tensors_sha256": tensors_sha256(converted.state),
        "tensors": len(converted.state),
        "momentum_tensors_left_out": len(converted.momentum),
        "ignored": list(converted.ignored),
        "source": origins,
    }
    write_json(record_beside(out), record)
    return record


def _tensor(origin: str, name: str, values: NDArray[Any]) -> torch.Tensor:
    if values.dtype != np.float32:
        raise UserError(f"{origin}: {name} is {values.dtype}, not float32")
    if not np.isfinite(values).all() or (name.endswith("/moving_variance") and values.min() < 0):
        raise UserError(f"{origin}: {name} holds values no trained network has")
    if values.ndim == 4:
        values = values.transpose(3, 2, 0, 1)
    return torch.from_numpy(np.array(values, dtype=np.float32, order="C"))


def _refuse(origin: str, what: str, names: Iterable[str]) -> None:
    found = sorted(names)
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise UserError(f"{origin}: tensors {what}: {', '.join(found[:_SHOWN])}{more}")


def main(argv: list[str] | None = None) -> None:
    """Convert what the command line names and print the record."""
    parser = argparse.ArgumentParser(
        prog="python -m crgan.masks.jppnet.convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tensors", type=Path, help=".npz of read_checkpoint.py")
    parser.add_argument("--out", type=Path, default=ROOT / "jppnet.pth")
    parser.add_argument("--ignore", metavar="NAME", nargs="*", default=[], help="tensors to ignore")
    args = parser.parse_args(argv)
    try:
        record = convert_file(args.tensors, args.out, args.ignore)
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print(f"{args.out}: {record['tensors']} tensors, all that JPPNet has")
    print(f"left out: {record['momentum_tensors_left_out']} of the optimiser's, nothing else")
    print(f"SHA-256 {record['sha256']} (recorded in {record_beside(args.out)})")
    print(f"of the tensors: {record['tensors_sha256']}")


if __name__ == "__main__":
    main()
