"""FID: features by `pytorch_fid`'s Inception, its weights from a local file, a fast exact distance.

A FID means nothing without the number of images, their resolution, the resize filter and the
layer, so `Measurement` carries them all. The layer is a parameter because the paper's values
(0.058 to 0.330) are two to three orders of magnitude below those of the usual 2048-d layer; the
package's own README says that the lower layers change the magnitude. `dims` = 64, the first
pooling, is the candidate, to be tested where the real data sets are at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_fid.inception as package
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.inception import BasicConv2d

from crgan.common.errors import UserError
from crgan.common.io import (
    NPY_FAULTS,
    atomic_path,
    canonical_json,
    load_torch,
    npy_fault,
    sha256_file,
)
from crgan.metrics.frechet import Moments, frechet_distance
from crgan.metrics.measurement import Images, Measurement, WeightsFrom, checked_images, to_float

Dims = Literal[64, 192, 768, 2048]
LAYERS: dict[int, str] = {
    64: "first max pooling",
    192: "second max pooling",
    768: "before the auxiliary classifier",
    2048: "final average pooling",
}


@dataclass(frozen=True)
class FidNet:
    """The package's Inception up to the block of `dims`, folded for inference, and its weights."""

    model: nn.Module
    dims: int
    weights: str
    device: torch.device


@dataclass(frozen=True)
class FidStatistics:
    """A set of images as FID sees it; kept and reused, since features cost more than the rest."""

    moments: Moments
    height: int
    width: int
    weights: str


def load_inception(
    weights: WeightsFrom, *, dims: Dims = 2048, seed: int = 0, device: str = "cpu"
) -> FidNet:
    """The FID Inception, ready for `extract`; nothing is downloaded.

    Args:
        weights: file with the state dict of `pytorch_fid.inception.fid_inception_v3()`, or
            ``random`` for weights drawn from `seed`, whose values are no published FID.
        dims: 64, 192, 768 or 2048; blocks above that layer are neither built nor run.

    Raises:
        UserError: unknown `dims`, missing file, or one that holds another network.
    """
    model = package_inception(weights, dims=dims, seed=seed)
    _fold_batch_norm(model)
    return FidNet(
        model=model.to(device).to(memory_format=torch.channels_last),
        dims=dims,
        weights=f"random:{seed}" if weights == "random" else sha256_file(weights),
        device=torch.device(device),
    )


def package_inception(weights: WeightsFrom, *, dims: Dims, seed: int = 0) -> nn.Module:
    """The package's own module as it makes it, in evaluation mode, with these weights."""
    if dims not in LAYERS:
        raise UserError(f"dims {dims}: choose one of {', '.join(map(str, LAYERS))}")
    state = _random_state(seed) if weights == "random" else load_torch(weights)
    try:
        with torch.random.fork_rng(devices=[]), _weights_given(state):
            model = package.InceptionV3([package.InceptionV3.BLOCK_INDEX_BY_DIM[dims]])
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise UserError(
            f"{weights}: not the FID Inception's weights ({first}); give the state dict of "
            "pytorch_fid's fid_inception_v3()"
        ) from None
    return model.eval()


@contextmanager
def _weights_given(state: Mapping[str, Tensor]) -> Iterator[None]:
    """Within, the package gets these weights where it would download its own."""
    download = package.load_state_dict_from_url
    package.load_state_dict_from_url = lambda *args, **kwargs: state
    try:
        yield
    finally:
        package.load_state_dict_from_url = download


def _random_state(seed: int) -> dict[str, Tensor]:
    """He-normal convolutions and neutral BatchNorm; features of an untrained default
    initialisation would fade to nothing over 48 layers."""
    with torch.random.fork_rng(devices=[]):
        # Same names and shapes as the FID variant, which changes only poolings.
        template = package._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    draw = torch.Generator().manual_seed(seed)
    for module in template.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=draw)
    nn.init.zeros_(template.fc.weight)
    nn.init.zeros_(template.fc.bias)
    state: dict[str, Tensor] = template.state_dict()
    return state


def _fold_batch_norm(model: nn.Module) -> None:
    """Put each frozen BatchNorm into its convolution: the same function in fewer passes."""
    for module in model.modules():
        if isinstance(module, BasicConv2d):
            module.conv = fuse_conv_bn_eval(module.conv, module.bn)
            module.bn = nn.Identity()


@torch.inference_mode()
def extract(net: FidNet, images: Images, *, batch: int = 32) -> NDArray[np.float32]:
    """(N, dims) features: the layer's spatial mean. Resized to 299 x 299 by the package."""
    images = checked_images("images", images)
    features = np.empty((len(images), net.dims), dtype=np.float32)
    for start in range(0, len(images), batch):
        rows = slice(start, start + batch)
        layer = net.model(to_float(images[rows], net.device) / 255)[0]
        features[rows] = layer.mean(dim=(2, 3)).cpu().numpy()
    return features


def statistics(net: FidNet, images: Images, *, batch: int = 32) -> FidStatistics:
    """Statistics of (N, H, W, 3) uint8 images, N >= 2."""
    images = checked_images("images", images, least=2)
    moments = Moments.of(extract(net, images, batch=batch))
    return FidStatistics(moments, images.shape[1], images.shape[2], net.weights)


def fid(net: FidNet, images: Images, reference: Images, *, batch: int = 32) -> Measurement:
    """FID between two sets of uint8 images (N, H, W, 3) and (M, H, W, 3) of one size."""
    return fid_between(
        statistics(net, images, batch=batch), statistics(net, reference, batch=batch)
    )


def fid_between(first: FidStatistics, second: FidStatistics) -> Measurement:
    """FID between two sets of which the statistics are at hand.

    Raises:
        UserError: the two were measured by other weights, another layer or at another resolution.
    """
    for name, a, b in (
        ("weights", first.weights, second.weights),
        ("dims", first.moments.dims, second.moments.dims),
        ("resolution", (first.height, first.width), (second.height, second.width)),
    ):
        if a != b:
            raise UserError(f"FID of two sets with {name} {a} and {b}: measure both alike")
    dims = first.moments.dims
    return Measurement(
        metric="FID",
        definition="Frechet distance of Gaussians fitted to the spatial means of a layer",
        value=frechet_distance(first.moments, second.moments),
        n=first.moments.n,
        n_reference=second.moments.n,
        height=first.height,
        width=first.width,
        resize="bilinear to 299 x 299, not antialiased (pytorch-fid)",
        network="Inception-v3 (2015-12-05), pytorch-fid",
        layer=f"{LAYERS.get(dims, 'custom')} ({dims})",
        weights=first.weights,
    )


def save_statistics(path: str | Path, value: FidStatistics, key: Mapping[str, Any]) -> None:
    """Write statistics as .npz, equal bytes for equal content.

    Args:
        key: plain values that say what was measured (manifest hash, split, resolution, dims);
            `load_statistics` asks for the same.
    """
    moments = value.moments
    data: Any = moments.features if moments.cov is None else moments.cov
    # Through an open file, so that numpy cannot append a suffix to the temporary name.
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            key=np.array(canonical_json(dict(key))),
            n=moments.n,
            mean=moments.mean,
            kind=np.array("features" if moments.cov is None else "cov"),
            data=data,
            size=np.array([value.height, value.width]),
            weights=np.array(value.weights),
        )


def load_statistics(path: str | Path, key: Mapping[str, Any]) -> FidStatistics:
    """Read what `save_statistics` wrote.

    Raises:
        UserError: missing or damaged file, or one written under another key.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            fields = {name: file[name] for name in file.files}
        found, expected = str(fields["key"]), canonical_json(dict(key))
        features = fields["data"] if fields["kind"] == "features" else None
        cov = fields["data"] if fields["kind"] == "cov" else None
        moments = Moments(int(fields["n"]), fields["mean"], features, cov)
        height, width = map(int, fields["size"])
        weights = str(fields["weights"])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (KeyError, *NPY_FAULTS) as error:
        raise UserError(
            f"{path}: not readable FID statistics ({npy_fault(error)}); delete it and run again"
        ) from None
    if found != expected:
        raise UserError(
            f"{path}: measured for {found}, asked for {expected}; delete it and run again"
        )
    return FidStatistics(moments, height, width, weights)
