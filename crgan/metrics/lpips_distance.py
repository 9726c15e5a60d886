"""LPIPS with AlexNet: the `lpips` package's network and heads, and what Tables 1 and 4 use it for.

What the paper's LPIPS column must mean (it only says "translation diversity"): the models without
dual condition and SPGAN give one output per input, so a diversity among the outputs of one input
would be 0 for them, and the tables print 0.099 to 0.210; LPIPS among outputs of different inputs
would be near the printed Source-Target value for every model. One reading fits all rows: LPIPS
between each generated image and its own source image, with random (source, target) pairs as the
Source-Target row. `translation_lpips` and `source_target_lpips` are these two. `diversity` is the
other quantity, among renderings of one source, for looking at collapse (Figure 6).

Images are compared at the resolution given, never resized, and scaled to [-1, 1] as the package
wants (fed [0, 1] it runs and gives other numbers).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import lpips
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crgan.common.errors import UserError
from crgan.common.io import load_torch, sha256_file
from crgan.metrics.measurement import Images, Measurement, WeightsFrom, checked_images, to_float

# Below this AlexNet's second pooling has nothing left to pool.
MIN_SIDE = 31


@dataclass(frozen=True)
class LpipsNet:
    """The package's LPIPS module in evaluation mode, and which trunk weights it holds."""

    model: lpips.LPIPS
    weights: str
    device: torch.device

    def to_input(self, images: Images) -> Tensor:
        """(N, 3, H, W) in [-1, 1]."""
        return to_float(images, self.device) / 127.5 - 1

    def features(self, images: Images) -> list[Tensor]:
        """Per layer (N, C, P): the package's unit-normalised activations at P places."""
        layers = self.model.net(self.model.scaling_layer(self.to_input(images)))
        return [lpips.normalize_tensor(layer).flatten(2) for layer in layers]


def load_lpips(trunk: WeightsFrom, *, seed: int = 0, device: str = "cpu") -> LpipsNet:
    """LPIPS (AlexNet, v0.1) with the installed package's linear heads; nothing is downloaded.

    Args:
        trunk: file with the state dict of torchvision's `alexnet().features` (`0.weight`, ...), or
            ``random`` for a trunk drawn from `seed`, whose values are no published LPIPS.

    Raises:
        UserError: missing file, or one that does not hold exactly these ten tensors.
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # The package still passes torchvision's old `pretrained` argument.
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        torch.manual_seed(seed)
        model = lpips.LPIPS(net="alex", pnet_rand=True, pnet_tune=False, verbose=False)
    if trunk != "random":
        _load_trunk(model.net, trunk)
    return LpipsNet(
        model=model.eval().requires_grad_(False).to(device, memory_format=torch.channels_last),
        weights=f"random:{seed}" if trunk == "random" else sha256_file(trunk),
        device=torch.device(device),
    )


def _load_trunk(net: torch.nn.Module, path: WeightsFrom) -> None:
    # The package keeps AlexNet's layers under their own numbers, cut into five slices.
    state = load_torch(path)
    names = {name.split(".", 1)[1]: name for name in net.state_dict()}
    if set(state) != set(names):
        raise UserError(
            f"{path}: not AlexNet's convolutions: missing {sorted(set(names) - set(state))}, "
            f"unexpected {sorted(set(state) - set(names))}; give the state dict of "
            "torchvision's alexnet().features"
        )
    try:
        net.load_state_dict({names[name]: value for name, value in state.items()})
    except RuntimeError as error:
        raise UserError(f"{path}: not AlexNet's convolutions: {error}") from None


def paired(net: LpipsNet, x: Images, y: Images, *, batch: int = 32) -> NDArray[np.float64]:
    """(N,) LPIPS between x[i] and y[i], by the package's own forward.

    Args:
        x, y: (N, H, W, 3) uint8, H and W at least 31.
    """
    x, y = _checked("first images", x), _checked("second images", y)
    if x.shape != y.shape:
        raise UserError(f"images to compare: {x.shape} and {y.shape}, expected equal shapes")
    return _in_batches(net, lambda rows: x[rows], lambda rows: y[rows], len(x), batch)


@torch.inference_mode()
def _in_batches(
    net: LpipsNet,
    x: Callable[[slice], Images],
    y: Callable[[slice], Images],
    count: int,
    batch: int,
) -> NDArray[np.float64]:
    values = np.empty(count)
    for start in range(0, count, batch):
        rows = slice(start, min(start + batch, count))
        distance = net.model(net.to_input(x(rows)), net.to_input(y(rows)))
        values[rows] = distance.flatten().cpu().numpy()
    return values


def diversity(
    net: LpipsNet, renderings: Sequence[Images] | Images, *, batch: int = 32
) -> NDArray[np.float64]:
    """(S,) mean LPIPS over all pairs among the K >= 2 renderings of each of S sources.

    Args:
        renderings: S arrays (K, H, W, 3) uint8, or one array (S, K, H, W, 3); K may differ.
        batch: images through the network at once; sources are never split.

    Each image goes through the network once, not K - 1 times, and the pairs are one small matrix
    product a layer: with heads w, sum_c w_c (a_c - b_c)^2 = <a, wa> + <b, wb> - 2 <a, wb>.
    """
    values = []
    for group in _groups(renderings, batch):
        values.extend(_all_pairs(net, group))
    return np.array(values)


def _groups(renderings: Sequence[Images] | Images, batch: int) -> Iterator[list[Images]]:
    """Neighbouring sources with equal shapes, together at most `batch` images (or one source)."""
    group: list[Images] = []
    for images in renderings:
        images = _checked("renderings of one source", images, least=2)
        full = (len(group) + 1) * len(images) > batch
        if group and (full or images.shape != group[0].shape):
            yield group
            group = []
        group.append(images)
    if group:
        yield group


@torch.inference_mode()
def _all_pairs(net: LpipsNet, group: list[Images]) -> list[float]:
    """Mean pairwise LPIPS of each source; all sources have K renderings of one size."""
    sources, count = len(group), len(group[0])
    total = torch.zeros(sources, count, count, device=net.device)
    for layer, head in zip(net.features(np.concatenate(group)), net.model.lins, strict=True):
        places = layer.shape[2]
        features = layer.reshape(sources, count, -1, places)
        weighted = features * head.model[-1].weight.view(1, 1, -1, 1)
        products = features.flatten(2) @ weighted.flatten(2).transpose(1, 2)
        own = products.diagonal(dim1=1, dim2=2)
        total += (own[:, :, None] + own[:, None, :] - 2 * products) / places
    above = torch.ones(count, count, dtype=torch.bool, device=net.device).triu(1)
    means: list[float] = total[:, above].double().mean(dim=1).tolist()
    return means


def translation_lpips(
    net: LpipsNet, source: Images, generated: Images, *, batch: int = 32
) -> Measurement:
    """Mean LPIPS between each generated image and its own source image (Tables 1 and 4).

    Args:
        source: (N, H, W, 3) uint8 X_S.
        generated: (N, H, W, 3) uint8 X_G, row i rendered from row i of `source`.
    """
    values = paired(net, source, generated, batch=batch)
    return _measurement(net, values, source, "each generated image against its own source")


def source_target_lpips(
    net: LpipsNet, source: Images, target: Images, *, pairs: int, seed: int, batch: int = 32
) -> Measurement:
    """Mean LPIPS of random (source, target) pairs: the Source-Target row of Tables 1 and 4.

    Args:
        source, target: (N, H, W, 3) and (M, H, W, 3) uint8 of one size.
        pairs: how many, each side drawn uniformly with replacement from `seed`.
    """
    source, target = _checked("source images", source), _checked("target images", target)
    if source.shape[1:] != target.shape[1:]:
        raise UserError(
            f"source images are {source.shape[1:3]} and target images {target.shape[1:3]}: "
            "prepare both at one size"
        )
    if pairs < 1:
        raise UserError(f"pairs {pairs}: ask for at least one")
    rng = np.random.default_rng(seed)
    left, right = rng.integers(len(source), size=pairs), rng.integers(len(target), size=pairs)
    values = _in_batches(
        net, lambda rows: source[left[rows]], lambda rows: target[right[rows]], pairs, batch
    )
    return _measurement(net, values, source, f"random source and target pairs, seed {seed}")


def _measurement(
    net: LpipsNet, values: NDArray[np.float64], images: Images, definition: str
) -> Measurement:
    return Measurement(
        metric="LPIPS",
        definition=f"mean LPIPS, {definition}",
        value=float(values.mean()),
        n=len(values),
        n_reference=None,
        height=images.shape[1],
        width=images.shape[2],
        resize="none",
        network="AlexNet, LPIPS v0.1",
        layer="relu1-relu5",
        weights=net.weights,
    )


def _checked(name: str, images: Images, least: int = 1) -> Images:
    images = checked_images(name, images, least)
    if min(images.shape[1:3]) < MIN_SIDE:
        raise UserError(
            f"{name}: {images.shape[1]} x {images.shape[2]} pixels; AlexNet needs at least "
            f"{MIN_SIDE} each way"
        )
    return images
