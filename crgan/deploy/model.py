"""`ReidModel`: images in, features out, from the files that `crgan.deploy.export` writes.

`model.pt` is a dict that `torch.load(path, weights_only=True)` reads: plain values, `provenance`,
and `state_dict`, the backbone's tensors under torchvision's own names where the network is
torchvision's (`resnet50().load_state_dict(..., strict=False)` takes them); `head` has the tensors
of the few methods' embedding. `model.onnx` needs nothing of this project: uint8 RGB (N, H, W, 3)
in, L2-normalised features (N, D) out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from crgan.common.errors import UserError
from crgan.common.io import load_torch, require_regular, sha256_file
from crgan.data.integrity import BadImage, Checks, decode, resize
from crgan.nets.folding import frozen
from crgan.nets.fusing import fused
from crgan.nets.reid import ReidNet
from crgan.reid.model_file import build_reid

Pixels: TypeAlias = "NDArray[np.uint8] | Image.Image | str | Path"
Features: TypeAlias = NDArray[np.float32]

FORMAT = "crgan reid model 1"
METADATA = "crgan"  # of an ONNX file: one entry, JSON
BATCH = 32  # larger ones are no faster on a CPU

_SETTINGS = ("backbone", "width", "last_stride", "pooling", "embedding", "height", "width_px")
# torchvision's name of the module that D_id's backbone is, in its own state dict
_PREFIX = {"mobilenetv2": "features."}
_FORGIVING = Checks(on_odd="convert")


class FeatureNet(nn.Module):
    """uint8 RGB (N, H, W, 3) to features float32 (N, D) of length 1: what is exported."""

    def __init__(self, net: ReidNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        x = images.permute(0, 3, 1, 2).float() * (2 / 255) - 1
        return nn.functional.normalize(self.net.features(x))


class _Runner(Protocol):
    """A batch of uint8 images (n, H, W, 3) to features."""

    def __call__(self, images: NDArray[np.uint8], /) -> Features: ...


class ReidModel:
    """A re-id CNN at work.

    `ReidModel.load(path)(images)` gives float32 (N, D) of length 1, a row an image: the dot
    product of two rows is the similarity of two people.

    Attributes:
        size: (height, width) it was trained on; other images are resized to it.
        digest: SHA-256 of its file.
        about: plain values that say what it is and where it comes from.
    """

    def __init__(
        self, run: _Runner, size: tuple[int, int], digest: str, about: Mapping[str, Any]
    ) -> None:
        self._run = run
        self.size = size
        self.digest = digest
        self.about = about

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> ReidModel:
        """Open `model.pt`, `model.onnx`, or a re-id file of the workflow.

        Args:
            path: the file; its suffix says which (`.onnx`, anything else is torch's).
            device: of torch's; an ONNX file runs on the CPU.

        Raises:
            UserError: the file is missing, damaged, or no re-id model.
        """
        path = Path(path)
        if not path.is_file():
            raise UserError(f"{path}: no such model; crgan adapt and crgan export write them")
        if path.suffix == ".onnx":
            return _load_onnx(path)
        net, about = read_model(path)
        return cls(_TorchRunner(net, device), _size(about), sha256_file(path), about)

    def __call__(self, images: Iterable[Pixels] | NDArray[np.uint8]) -> Features:
        """Features float32 (N, D) of length 1.

        Args:
            images: uint8 RGB arrays (h, w, 3), Pillow images or file names, of any size, mixed as
                you like; or an array uint8 (N, H, W, 3). At most 32 are decoded at once.

        Raises:
            UserError: nothing to work on, or an image that cannot be used, named.
        """
        parts = list(self.batches(images))
        if not parts:
            raise UserError("no images to extract features of")
        return np.concatenate(parts)

    def batches(self, images: Iterable[Pixels] | NDArray[np.uint8]) -> Iterator[Features]:
        """The same, up to 32 rows at a time, for more images than memory holds features of."""
        if isinstance(images, str | Path | Image.Image) or (
            isinstance(images, np.ndarray) and images.ndim != 4
        ):
            raise UserError("expected a list of images, or an array (N, H, W, 3); got one image")
        rest = iter(images)
        while batch := list(islice(rest, BATCH)):
            found = self._run(np.stack([as_array(image, self.size) for image in batch]))
            if not np.isfinite(found).all():
                raise UserError("the model gives features that are not finite; make it again")
            yield found


def as_array(image: Pixels, size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image as uint8 RGB (H, W, 3) of `size`, resized as training images are.

    Raises:
        UserError: it cannot be read, or is no image.
    """
    name = str(image) if isinstance(image, str | Path) else "an image"
    try:
        if isinstance(image, str | Path):
            if not Path(image).is_file():  # nor a pipe, which would never end
                raise UserError(f"{name}: no such image file")
            with open(image, "rb") as file:
                pixels = decode(file.read(_FORGIVING.max_bytes + 1), _FORGIVING)
        elif isinstance(image, Image.Image):
            pixels = decode(np.asarray(image.convert("RGB")), _FORGIVING)
        else:
            pixels = decode(image, _FORGIVING)
    except BadImage as error:
        raise UserError(f"{name}: {error}; replace or remove it") from None
    except OSError as error:
        raise UserError(f"{name}: {error.strerror or error}") from None
    return resize(pixels, *size)


def model_file(file: Mapping[str, Any], name: str, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `model.pt` for a re-id file of the workflow; the classifier is left out."""
    net = build_reid(file, name)
    prefix = _PREFIX.get(net.backbone_name, "")
    return {
        "format": FORMAT,
        **{key: file[key] for key in _SETTINGS},
        "features": net.feature_dim,
        "provenance": dict(provenance),
        "state_dict": {prefix + key: value for key, value in _contiguous(net.backbone).items()},
        "head": _contiguous(net.embedding),
    }


def read_model(path: Path) -> tuple[ReidNet, dict[str, Any]]:
    """The network of `model.pt` or of a re-id file, in eval mode, and what its file says of it.

    Raises:
        UserError: another kind of file, or one that does not fit together.
    """
    file = load_torch(path)
    if file.get("kind") == "reid":
        about = {key: value for key, value in file.items() if key not in ("state", "pids")}
        return build_reid(file, str(path)), about
    if file.get("format") != FORMAT:
        raise UserError(f"{path}: no re-id model; crgan adapt and crgan export write them")
    wanted = {*_SETTINGS, "format", "features", "provenance", "state_dict", "head"}
    if odd := sorted(set(file) ^ wanted, key=str):
        raise UserError(f"{path}: key {odd[0]!r} is missing or unknown; export the model again")
    prefix = _PREFIX.get(str(file["backbone"]), "")
    state: dict[str, Any] = {}
    for home, part, cut in (("backbone", "state_dict", prefix), ("embedding", "head", "")):
        if not isinstance(file[part], Mapping):
            raise UserError(f"{path}: {part} is no dict of tensors; export the model again")
        state |= {f"{home}.{str(k).removeprefix(cut)}": v for k, v in file[part].items()}
    kept = {key: file[key] for key in _SETTINGS}
    whole = {"kind": "reid", "pids": [], "state": state, "origin": "", "notes": [], **kept}
    about = {key: value for key, value in file.items() if key not in ("state_dict", "head")}
    return build_reid(whole, str(path)), about


class _TorchRunner:
    def __init__(self, net: ReidNet, device: str) -> None:
        fast = frozen(net).to(device)
        self._net = FeatureNet(fused(fast) if device == "cpu" else fast)
        self._device = device

    @torch.inference_mode()
    def __call__(self, images: NDArray[np.uint8]) -> Features:
        found: Features = self._net(torch.from_numpy(images).to(self._device)).cpu().numpy()
        return found


class _OnnxRunner:
    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def __call__(self, images: NDArray[np.uint8]) -> Features:
        found: Features = self._session.run(None, {self._input: images})[0]
        return found


def _load_onnx(path: Path) -> ReidModel:
    import onnxruntime as ort

    require_regular(path)
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each way to fail
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: not a readable ONNX model ({reason}); export it again") from None
    first, *others = session.get_inputs()
    if others or first.type != "tensor(uint8)" or len(first.shape) != 4 or first.shape[3] != 3:
        raise UserError(
            f"{path}: takes {first.type} {first.shape}, expected uint8 (N, H, W, 3) alone; "
            "use a file of crgan adapt or crgan export"
        )
    try:
        about = json.loads(session.get_modelmeta().custom_metadata_map.get(METADATA, "{}"))
    except ValueError:
        about = {}
    height, width = first.shape[1:3]
    return ReidModel(_OnnxRunner(session), (int(height), int(width)), sha256_file(path), about)


def _size(about: Mapping[str, Any]) -> tuple[int, int]:
    return about["height"], about["width_px"]


def _contiguous(net: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
