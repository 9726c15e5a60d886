"""From a re-id file of the workflow to the two files that others use: `model.pt`, `model.onnx`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.io import atomic_path, load_torch, read_json, save_torch, sha256_file
from crgan.deploy.model import METADATA, FeatureNet, Pixels, ReidModel, as_array, model_file
from crgan.nets.folding import frozen
from crgan.nets.reid import ReidNet
from crgan.reid.model_file import build_reid

OPSET = 20
TOLERANCE = 1e-4  # between onnxruntime and PyTorch, of features of length 1
_PROBES = 5


def export(
    reid: str | Path,
    out: str | Path,
    *,
    provenance: Mapping[str, Any] | None = None,
    probes: Iterable[Pixels] | None = None,
) -> tuple[Path, Path]:
    """Write `model.pt` and `model.onnx` of a re-id file into the folder `out`, and check them.

    Equal files give equal bytes. Neither file appears unless `onnx.checker` accepts the ONNX
    model, onnxruntime's features are PyTorch's to 1e-4 in batches of two lengths, and different
    images have different features.

    Args:
        reid: the workflow's file, artifacts/<profile>/finetuned/<method>/<pair>/seed0.pt.
        out: a folder, made if need be.
        provenance: plain values to keep in both files; else the record beside `reid`, if any.
        probes: images to compare on; else drawn ones.

    Returns:
        The two paths, `model.pt` first.

    Raises:
        UserError: not a re-id file, or a network whose features tell no images apart.
    """
    reid, out = Path(reid), Path(out)
    file = load_torch(reid)
    net = build_reid(file, str(reid))
    size = (file["height"], file["width_px"])
    origin = dict(record_of(reid) if provenance is None else provenance)
    origin |= {"reid_sha256": sha256_file(reid), "weights": file["origin"], "notes": file["notes"]}
    content = model_file(file, str(reid), origin)
    about = {key: value for key, value in content.items() if key not in ("state_dict", "head")}
    images = np.stack([as_array(image, size) for image in probes or drawn_probes(size)])
    with atomic_path(out / "model.onnx") as temporary:
        write_onnx(net, size, temporary, about)
        compare(net, temporary, images)
    save_torch(out / "model.pt", content)
    return out / "model.pt", out / "model.onnx"


def record_of(reid: Path) -> dict[str, Any]:
    """What the record beside a re-id file says of its making, without when and where."""
    path = reid.with_suffix(".prov.json")
    if not path.is_file():
        return {}
    record = read_json(path)
    return {key: record[key] for key in ("stage", "cell", "key", "code_sha256") if key in record}


def write_onnx(net: ReidNet, size: tuple[int, int], path: Path, about: Mapping[str, Any]) -> None:
    """Write a network as ONNX with a dynamic batch; `about` is kept in its metadata."""
    import onnx

    images = torch.zeros((2, *size, 3), dtype=torch.uint8)
    module = FeatureNet(frozen(net).to(memory_format=torch.contiguous_format)).eval()
    # The exporter that follows Python's bytecode leaves the paths of this machine in the file.
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (images,), str(path), dynamo=False, opset_version=OPSET,
            input_names=["images"], output_names=["features"],
            dynamic_axes={"images": {0: "batch"}, "features": {0: "batch"}},
        )  # fmt: skip
    model = onnx.load(str(path))
    model.producer_name, model.producer_version = "crgan", ""
    facts = {
        "opset": OPSET,
        "size": f"{size[0]}x{size[1]}",
        "input": "uint8 RGB (N, H, W, 3)",
        "output": "features of length 1",
        METADATA: json.dumps(about, sort_keys=True),
    }
    onnx.helper.set_model_props(model, {key: str(value) for key, value in facts.items()})
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def compare(net: ReidNet, path: Path, images: NDArray[np.uint8]) -> None:
    """Check an ONNX file against its network, on images (n, H, W, 3) and on the first alone.

    Raises:
        UserError: features differ between the two, or do not between images.
    """
    model = ReidModel.load(path)
    with torch.inference_mode():
        expected = FeatureNet(net)(torch.from_numpy(images)).numpy()
    found = np.concatenate((model(images), model(images[:1])))
    apart = float(np.abs(found - np.concatenate((expected, expected[:1]))).max())
    if not apart <= TOLERANCE:
        raise UserError(f"{path.name}: differs from PyTorch by {apart:.2g}, not within {TOLERANCE}")
    spread = float(np.ptp(expected, axis=0).max())
    if not spread > TOLERANCE:
        raise UserError(
            f"{path.name}: all images have the same features (spread {spread:.2g}): "
            "the network has collapsed; train it anew"
        )


def drawn_probes(size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """A few images of smooth colours with noise on them, always the same."""
    rng = np.random.default_rng(0)
    height, width = size
    ramp = np.linspace(0, 1, height)[:, None, None] * np.ones((1, width, 1))
    probes = []
    for _ in range(_PROBES):
        top, bottom = rng.uniform(0, 255, (2, 3))
        image = top * (1 - ramp) + bottom * ramp + rng.normal(0, 20, (height, width, 3))
        probes.append(image.clip(0, 255).astype(np.uint8))
    return probes
