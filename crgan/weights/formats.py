"""Conversions from the form in which pretrained weights are published to plain state dicts.

Each converter takes the bytes of one downloaded file (already checked against its recorded hash)
and returns a state dict with torchvision's or pytorch-fid's key names. None of them runs code that
came with the file: pickles go through `load_numpy_pickle`, torch files through `tensors_from`.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from crgan.common.errors import UserError
from crgan.common.io import tensors_from

StateDict = dict[str, torch.Tensor]

# What a pickle of numpy arrays refers to, under the module names of numpy 1 and numpy 2.
_NUMPY_GLOBALS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
}

# AlexNet's five convolutions: position in torchvision's `features`, counted with ReLU and pooling.
_ALEXNET_CONVS = (0, 3, 6, 8, 10)


class _NumpyUnpickler(pickle.Unpickler):
    """Knows numpy arrays and the built-in containers, and refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NUMPY_GLOBALS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}") from None


def load_numpy_pickle(data: bytes) -> Any:
    """Unpickle nested containers of numpy arrays, and nothing else.

    Raises:
        UserError: the pickle is broken or refers to anything that is not a numpy array.
    """
    try:
        return _NumpyUnpickler(io.BytesIO(data)).load()
    except Exception as error:  # a hostile pickle can make the machine raise anything
        raise UserError(f"refused a pickle that is not plain numpy arrays: {error}") from None


def tensors_sha256(state: Mapping[str, torch.Tensor]) -> str:
    """Hex SHA-256 over names, dtypes, shapes and values, in name order.

    A converted file is identified by this and not by its bytes, because the bytes `torch.save`
    writes around the same tensors change with the version of torch.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def alexnet_from_torchvision(data: bytes) -> StateDict:
    """Keep the convolutions of torchvision's AlexNet, named as in `alexnet().features`."""
    state = _load_torch(data)
    names = [f"{i}.{kind}" for i in _ALEXNET_CONVS for kind in ("weight", "bias")]
    return {name: _plain(state[f"features.{name}"]) for name in names}


def alexnet_from_flax(data: bytes) -> StateDict:
    """AlexNet's convolutions from a Flax parameter pickle, named as in `alexnet().features`.

    Flax stores kernels as (height, width, in, out); torch wants (out, in, height, width).
    """
    convs = load_numpy_pickle(data)["AlexNet_0"]
    state: StateDict = {}
    for n, position in enumerate(_ALEXNET_CONVS):
        kernel, bias = convs[f"Conv_{n}"]["kernel"], convs[f"Conv_{n}"]["bias"]
        state[f"{position}.weight"] = _plain(torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
        state[f"{position}.bias"] = _plain(torch.from_numpy(bias.copy()))
    return state


def fid_inception_from_torchscript(data: bytes) -> StateDict:
    """State dict for `pytorch_fid.inception.fid_inception_v3()` from a TorchScript of its trunk.

    Both list the 94 convolutions in the order of the published TensorFlow graph, so they pair by
    order; a shape that differs is an error. The script carries batch norm's shift, mean and
    variance (the graph has no scale: it is one). It ends at pool3 and has no classifier, whose
    entries are filled with NaN: whoever asks for class scores sees at once that they are absent.
    """
    from torchvision.models import inception_v3

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit is frozen, the file is not ours
        script = torch.jit.load(io.BytesIO(data), map_location="cpu").state_dict()
    with torch.device("meta"):
        model = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    wanted = model.state_dict()
    prefixes = [name.removesuffix("conv.weight") for name in wanted if name.endswith("conv.weight")]
    values = list(script.values())
    if len(values) != 4 * len(prefixes):
        raise UserError(
            f"expected 4 tensors for each of {len(prefixes)} convolutions, found {len(values)}"
        )
    state: StateDict = {}
    for n, prefix in enumerate(prefixes):
        weight, shift, mean, variance = values[4 * n : 4 * n + 4]
        state[f"{prefix}conv.weight"] = weight
        state[f"{prefix}bn.weight"] = torch.ones_like(shift)
        state[f"{prefix}bn.bias"] = shift
        state[f"{prefix}bn.running_mean"] = mean
        state[f"{prefix}bn.running_var"] = variance
        state[f"{prefix}bn.num_batches_tracked"] = torch.tensor(0)
    for name in ("fc.weight", "fc.bias"):
        state[name] = torch.full(wanted[name].shape, torch.nan)
    return _same_shapes(state, wanted)


def mobilenetv2_features(data: bytes) -> StateDict:
    """Rename a MobileNetV2 trunk, by order, to the keys of `mobilenet_v2().features`."""
    from torchvision.models import mobilenet_v2

    with torch.device("meta"):
        wanted = mobilenet_v2(weights=None).features.state_dict()
    state = {n: v for n, v in _load_torch(data).items() if n.startswith("features.")}
    if len(state) != len(wanted):
        raise UserError(
            f"expected {len(wanted)} tensors of MobileNetV2's trunk, found {len(state)}"
        )
    return _same_shapes(dict(zip(wanted, state.values(), strict=True)), wanted)


def pack(state: Mapping[str, torch.Tensor]) -> bytes:
    """A state dict as small as it gets: kernels in 8 bits, each output channel with its own scale.

    Half a step off at most, which does not matter to weights that are only started from.
    """
    arrays: dict[str, Any] = {}
    for name, tensor in state.items():
        values = tensor.detach().numpy()
        if values.ndim == 4:
            scale = np.abs(values).max(axis=(1, 2, 3), keepdims=True) / 127 + 1e-12
            arrays[f"{name}/scale"] = scale.astype(np.float32)
            values = np.round(values / scale).astype(np.int8)
        arrays[name] = values
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def unpacked(data: bytes) -> StateDict:
    """The state dict that `pack` made `data` of."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        state = {}
        for name in arrays.files:
            if not name.endswith("/scale"):
                values = arrays[name]
                if f"{name}/scale" in arrays.files:
                    values = values.astype(np.float32) * arrays[f"{name}/scale"]
                state[name] = torch.from_numpy(np.asarray(values))
    return state


CONVERTERS: dict[str, Callable[[bytes], StateDict]] = {
    "alexnet_from_torchvision": alexnet_from_torchvision,
    "alexnet_from_flax": alexnet_from_flax,
    "fid_inception_from_torchscript": fid_inception_from_torchscript,
    "mobilenetv2_features": mobilenetv2_features,
    "unpacked": unpacked,
}


def _load_torch(data: bytes) -> Mapping[str, torch.Tensor]:
    state: Mapping[str, torch.Tensor] = tensors_from(io.BytesIO(data), "pretrained weights")
    return state


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """A contiguous copy without autograd, so that equal values are equal files."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def _same_shapes(state: StateDict, wanted: Mapping[str, torch.Tensor]) -> StateDict:
    """`state` in the key order of `wanted`; a shape that differs is an error."""
    for name, tensor in wanted.items():
        if state[name].shape != tensor.shape:
            raise UserError(
                f"{name}: shape {tuple(state[name].shape)}, expected {tuple(tensor.shape)}"
            )
    return {name: _plain(state[name]) for name in wanted}
