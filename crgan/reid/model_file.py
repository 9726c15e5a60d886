"""Model files of D_id and D_cam: plain dicts of tensors and values, read back strictly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from torch import Tensor, nn

from crgan.common.errors import UserError
from crgan.nets.camera import CameraNet
from crgan.nets.reid import ReidNet

Net = TypeVar("Net", bound=nn.Module)

_REID_KEYS = {
    "kind", "backbone", "width", "last_stride", "pooling", "embedding", "pids", "height",
    "width_px", "state", "origin", "notes",
}  # fmt: skip
_CAMERA_KEYS = {"kind", "width", "camids", "state"}
# What a file may claim: a network is made by these numbers before its tensors are looked at.
_BOUNDS = {
    "width": range(1, 257),
    "last_stride": range(1, 3),
    "embedding": range(8193),
    "height": range(16, 2049),
    "width_px": range(16, 2049),
}


def reid_file(
    net: ReidNet,
    pids: Sequence[int],
    size: tuple[int, int],
    origin: str,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """The file of a re-id CNN.

    Args:
        net: its classifier's rows stand in the order of `pids`.
        pids: identities of the source, one a class; none, where the net has no classifier.
        size: (height, width) of its images.
        origin: name of the pretrained weights it started from, or none.
        notes: what a reader of its results must know.
    """
    return {
        "kind": "reid",
        "backbone": net.backbone_name,
        "width": net.width,
        "last_stride": net.last_stride,
        "pooling": net.pooling,
        "embedding": net.embedding_dim,
        "pids": [int(pid) for pid in pids],
        "height": int(size[0]),
        "width_px": int(size[1]),
        "state": _state(net),
        "origin": origin,
        "notes": list(notes),
    }


def build_reid(file: Mapping[str, Any], name: str) -> ReidNet:
    """The network in a re-id file, in eval mode on the CPU; `name` is the file's, for messages.

    Raises:
        UserError: another kind of file, keys or tensors missing or unknown.
    """
    _check(file, "reid", _REID_KEYS, name)
    _check_claims(file, file["pids"], name)
    try:
        net = ReidNet(
            file["backbone"], file["width"], len(file["pids"]), file["last_stride"],
            file["pooling"], file["embedding"],
        )  # fmt: skip
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    return _load(net, file, name)


def camera_file(net: CameraNet, camids: Sequence[int]) -> dict[str, Any]:
    """The file of a camera classifier whose rows stand in the order of `camids`."""
    return {
        "kind": "camera",
        "width": net.width,
        "camids": [int(camid) for camid in camids],
        "state": _state(net),
    }


def build_camera(file: Mapping[str, Any], name: str) -> CameraNet:
    """The network in a D_cam file, in eval mode on the CPU; `name` is the file's, for messages.

    Raises:
        UserError: another kind of file, keys or tensors missing or unknown.
    """
    _check(file, "camera", _CAMERA_KEYS, name)
    _check_claims(file, file["camids"], name)
    return _load(CameraNet(file["width"], len(file["camids"])), file, name)


def _state(net: nn.Module) -> dict[str, Any]:
    # contiguous: equal weights are equal bytes, whatever memory order they were trained in
    return {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}


def _check(file: Mapping[str, Any], kind: str, keys: set[str], name: str) -> None:
    if file.get("kind") != kind:
        raise UserError(f"{name}: kind is {file.get('kind')!r}, a {kind!r} file is needed here")
    if set(file) != keys:
        odd = sorted(set(file) ^ keys)[0]
        how = "is missing" if odd in keys else "is unknown"
        raise UserError(f"{name}: key {odd!r} {how}; another version wrote it: make it again")


def _check_claims(file: Mapping[str, Any], classes: Any, name: str) -> None:
    """Refuse numbers by which making the network would take more memory than the file bears out."""
    for key, bounds in _BOUNDS.items():
        if key in file and (type(file[key]) is not int or file[key] not in bounds):
            least, most = bounds[0], bounds[-1]
            raise UserError(
                f"{name}: {key} is {file[key]!r}, expected {least} to {most}; make it again"
            )
    if not isinstance(file.get("backbone", ""), str):
        raise UserError(f"{name}: backbone is {file['backbone']!r}, expected a name; make it again")
    state = file["state"]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"{name}: state is no dict of tensors; make it again")
    if posing := next((k for k, v in state.items() if not v.is_contiguous()), None):
        # one number may pose as a matrix of any size
        raise UserError(f"{name}: {posing} holds fewer numbers than its shape says; make it again")
    weight = state.get("classifier.weight")
    rows = weight.shape[0] if weight is not None and weight.ndim else 0
    if not isinstance(classes, list) or len(classes) != rows:
        raise UserError(
            f"{name}: weights do not fit: classifier of {rows} rows for "
            f"{len(classes) if isinstance(classes, list) else classes!r} classes; make it again"
        )


def _load(net: Net, file: Mapping[str, Any], name: str) -> Net:
    try:
        net.load_state_dict(file["state"])
    except RuntimeError as error:
        reason = str(error).replace("\n\t", " ")
        raise UserError(f"{name}: weights do not fit: {reason}; make it again") from None
    return net.eval()
