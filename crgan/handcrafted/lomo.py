"""LOMO: local maximal occurrence (Liao et al. 2015), to be read beside its section 3.

An image is brightened by multi-scale Retinex, and each of its pixels gets three numbers: the bin
of its colour in a joint 8x8x8 histogram of HSV, and two texture codes, SILTP of the grey image at
radii 3 and 5. Blocks of 10x10 pixels, 5 apart, are histograms of these; of all blocks at one height
only the largest count of each bin is kept, the local maximal occurrence, so that it does not matter
where across the image a pattern stands. The same again on the image halved, and halved once
more: (24 + 11 + 5) heights x (512 + 2 x 81) bins = 26,960 numbers for 128x48 pixels. Counts are
damped by log(1 + x), and each of the three kinds has length 1. Nothing is learned.

The authors' package fixes all of this but Retinex, whose source was never released. The paper gives
its two scales; `retinex` says what else was chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.settings import Count, Partly, Positive, Share, Within, settings_from
from crgan.data.store import Split
from crgan.handcrafted.base import Describe
from crgan.handcrafted.chunks import Features, Images, in_chunks

RetinexMode = Literal["colour_preserving", "channels"]
SILTP_CODES = 81  # four neighbours, three digits each
CHUNK = 32  # images at a time: enough for two threads to run side by side nine tenths of the time
_WHITE = 255.0


@dataclass(frozen=True)
class Options:
    """Section `handcrafted.lomo` of the parameters; lengths in pixels.

    Attributes:
        scales: images of the pyramid, each half as large as the one before.
        block, step: side of the blocks and their distance; `block` is a multiple of `step`,
            and its pixels are counted in a byte.
        hsv_bins: bins of hue, saturation and value.
        siltp_tau: how much a neighbour must differ from the centre, as a share of it.
        siltp_radii: distances of the neighbours.
        retinex_mode, retinex_sigmas, retinex_clip: see `retinex`.
    """

    scales: Count
    block: Annotated[int, Within(least=1, most=15)]
    step: Count
    hsv_bins: tuple[Count, Count, Count]
    siltp_tau: Partly
    siltp_radii: tuple[Count, Count]
    retinex_mode: RetinexMode
    retinex_sigmas: tuple[Positive, Positive]
    retinex_clip: tuple[Share, Share]

    def __post_init__(self) -> None:
        if self.block % self.step:
            raise UserError(f"block is {self.block}; use a multiple of step {self.step}")
        if self.retinex_clip[0] >= self.retinex_clip[1]:
            raise UserError(f"retinex_clip is {self.retinex_clip}; use two rising shares of 1")

    def check_size(self, height: int, width: int) -> None:
        """Refuse images too small to describe."""
        dimension(self, height, width)

    @property
    def colours(self) -> int:
        """Bins of the joint colour histogram."""
        return math.prod(self.hsv_bins)


def fit(
    source: Split,
    target: Split,
    options: Mapping[str, Any],
    *,
    seed: int,
    threads: int,
) -> Describe:
    """LOMO of the splits' image size (`crgan.handcrafted.base.Fit`).

    Raises:
        UserError: bad options, or images too small for them.
    """
    settings = settings_from(Options, options, "handcrafted.lomo")
    return describer(settings, *target.images.shape[1:3], threads=threads)


def describer(options: Options, height: int, width: int, *, threads: int) -> Describe:
    """What describes images (n, height, width, 3) by LOMO; float32 (n, D), length sqrt(3).

    Raises:
        UserError: an image of the pyramid is smaller than a block or SILTP's neighbourhood.
    """
    dims = dimension(options, height, width)
    lomo = plain(options, height, width)
    return lambda images: in_chunks(
        lomo, images, dims, chunk=CHUNK, threads=threads, description="LOMO"
    )


def plain(options: Options, height: int, width: int) -> Callable[[Images], Features]:
    """As `describer`, on one thread and without a bar: for whoever goes on with each chunk."""
    blur = surrounds(height, width, options.retinex_sigmas)

    def describe(images: Images) -> Features:
        if images.shape[1:] != (height, width, 3):
            raise ValueError(f"images {images.shape[1:]}, expected {(height, width, 3)}")
        chunks = [images[i : i + CHUNK] for i in range(0, len(images), CHUNK)]
        return np.concatenate([_describe(chunk, options, blur) for chunk in chunks])

    return describe


def dimension(options: Options, height: int, width: int) -> int:
    """Length of a description; it depends on the height alone.

    Raises:
        UserError: as `describer`.
    """
    rows = 0
    needed = max(options.block, 2 * max(options.siltp_radii) + 1)
    for scale in range(options.scales):
        if min(height, width) < needed:
            raise UserError(
                f"lomo: the image is {height}x{width} at scale {scale + 1} of {options.scales}, "
                f"and {needed} pixels are needed each way; use fewer scales or a larger image"
            )
        rows += (height - options.block) // options.step + 1
        height, width = height // 2, width // 2
    return rows * (options.colours + len(options.siltp_radii) * SILTP_CODES)


def _describe(images: Images, options: Options, blur: Surrounds) -> Features:
    hsv = quantised_hsv(
        retinex(images, blur, options.retinex_mode, options.retinex_clip), options.hsv_bins
    )
    grey = grey_levels(images)
    hues, saturations, _ = options.hsv_bins
    parts: list[list[NDArray[np.uint8]]] = [[] for _ in range(1 + len(options.siltp_radii))]
    for scale in range(options.scales):
        if scale:
            hsv, grey = np.floor(halved(hsv)), halved(grey)
        h, s, v = np.moveaxis(hsv.astype(np.intp), -1, 0)
        maps = [((v * saturations + s) * hues + h, options.colours)]
        maps += [(siltp(grey, r, options.siltp_tau), SILTP_CODES) for r in options.siltp_radii]
        for part, (patterns, bins) in zip(parts, maps, strict=True):
            part.append(maximal_occurrence(patterns, bins, options.block, options.step))
    return np.concatenate([_damped(np.concatenate(part, axis=1)) for part in parts], axis=1)


# log(1 + count) of every count a byte can hold
_LOGARITHMS = np.log1p(np.arange(256)).astype(np.float32)


def _damped(counts: NDArray[np.uint8]) -> Features:
    """log(1 + x), then length 1; counts (n, D)."""
    values = _LOGARITHMS[counts]
    lengths = np.sqrt(np.square(values).sum(axis=1, keepdims=True))
    return np.asarray(values / lengths, dtype=np.float32)


Surrounds = tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]


def surrounds(height: int, width: int, sigmas: tuple[float, ...]) -> Surrounds:
    """Gaussian blurs as pairs of matrices: B I C is the blurred I. Weights that would fall outside
    the image go to the pixels inside.
    """

    def matrix(n: int, sigma: float) -> NDArray[np.float32]:
        apart = np.subtract.outer(np.arange(n), np.arange(n))
        weights = np.exp(-0.5 * (apart / sigma) ** 2)
        return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)

    return tuple((matrix(height, s), np.ascontiguousarray(matrix(width, s).T)) for s in sigmas)


def retinex(
    images: Images, blur: Surrounds, mode: RetinexMode, clip: tuple[float, float]
) -> Features:
    """Multi-scale Retinex: each pixel's light relative to its surround, stretched to [0, 1].

        r = mean over sigma of log(1 + I) - log(1 + G_sigma * I)

    Args:
        images: uint8 (n, H, W, 3).
        blur: from `surrounds`.
        mode: I is the mean of the three channels, and the channels are scaled by one gain a pixel,
            which keeps their hue and saturation (`colour_preserving`); or each channel is treated
            alone (`channels`), which also takes away the light's colour, and some of the clothes'.
        clip: shares of an image's pixels: their quantiles of r become black and white. This is
            the automatic gain and offset of the paper.

    Returns:
        float32 (n, H, W, 3) in [0, 1].
    """
    channels = np.moveaxis(images, -1, 1).astype(np.float32)  # (n, 3, H, W)
    light = channels if mode == "channels" else channels.mean(axis=1, keepdims=True)
    r: Features = np.log1p(light)
    r -= np.mean([np.log1p(b @ light @ c) for b, c in blur], axis=0)
    black, white = _quantiles(r, clip)
    stretched = np.clip((r - black) / np.maximum(white - black, 1e-6), 0, 1)
    if mode == "channels":
        return np.ascontiguousarray(np.moveaxis(stretched, 1, -1))
    # one grey level at least, so that what is black keeps its hue
    gain = np.maximum(stretched * _WHITE, 1) / np.maximum(light, 1)
    gain = np.minimum(gain, _WHITE / np.maximum(channels.max(axis=1, keepdims=True), 1))
    return np.ascontiguousarray(np.moveaxis(channels * (gain / _WHITE), 1, -1))


def _quantiles(values: Features, shares: tuple[float, float]) -> tuple[Features, Features]:
    """Of each image, the entries at these shares of the sorted ones; (n, 1, 1, 1) each."""
    flat = values.reshape(len(values), -1)
    low, high = (round(share * (flat.shape[1] - 1)) for share in shares)
    flat = np.partition(flat, (low, high), axis=1)
    return flat[:, low, None, None, None], flat[:, high, None, None, None]


def quantised_hsv(images: Features, bins: tuple[int, int, int]) -> Features:
    """Bins of hue, saturation and value, whole numbers from 0; images (n, H, W, 3) in [0, 1]."""
    n, height, width, _ = images.shape
    hsv = cv2.cvtColor(images.reshape(n * height, width, 3), cv2.COLOR_RGB2HSV)
    scale = np.array([bins[0] / 360, bins[1], bins[2]], dtype=np.float32)  # OpenCV's hue: degrees
    last = np.array(bins, dtype=np.float32) - 1
    quantised: Features = np.minimum(np.floor(hsv * scale), last).reshape(images.shape)
    return quantised


def grey_levels(images: Images) -> Features:
    """Luma (n, H, W) in [0, 1]; images uint8 (n, H, W, 3)."""
    n, height, width, _ = images.shape
    tall = images.astype(np.float32).reshape(n * height, width, 3)
    luma = cv2.cvtColor(tall, cv2.COLOR_RGB2GRAY).reshape(n, height, width)
    return np.asarray(luma / _WHITE, dtype=np.float32)


def halved(images: Features) -> Features:
    """Means of 2x2 pixels of (n, H, W, ...); an odd last row or column is left out."""
    height, width = (size // 2 * 2 for size in images.shape[1:3])
    whole = images[:, :height, :width]
    rows = whole[:, ::2] + whole[:, 1::2]
    means = (rows[:, :, ::2] + rows[:, :, 1::2]) / 4
    return np.asarray(means, dtype=np.float32)


def siltp(grey: Features, radius: int, tau: float) -> NDArray[np.intp]:
    """Scale-invariant local ternary pattern of each pixel, 0 to 80.

    The neighbours `radius` pixels to the right, above, to the left and below give the digits of
    weight 1, 3, 9 and 27: 1 for darker than (1 - tau) of the centre, 2 for brighter than (1 + tau)
    of it, 0 for neither. The border's pixels are repeated outwards.

    Args:
        grey: (n, H, W), not negative.
    """
    height, width = grey.shape[1:]
    padded = np.pad(grey, ((0, 0), (radius, radius), (radius, radius)), mode="edge")
    lower, upper = grey * np.float32(1 - tau), grey * np.float32(1 + tau)
    code = np.zeros(grey.shape, dtype=np.uint8)
    shifts = ((radius, 2 * radius), (0, radius), (radius, 0), (2 * radius, radius))
    for weight, (y, x) in zip((1, 3, 9, 27), shifts, strict=True):
        neighbour = padded[:, y : y + height, x : x + width]
        code += (neighbour < lower) * np.uint8(weight) + (neighbour > upper) * np.uint8(2 * weight)
    return code.astype(np.intp)


def maximal_occurrence(
    patterns: NDArray[np.intp], bins: int, block: int, step: int
) -> NDArray[np.uint8]:
    """How often each pattern stands in a block, the most of all blocks at the same height.

    A block is put together from cells of `step` pixels a side, so that each pixel is counted once
    and not once for every block it is in.

    Args:
        patterns: (n, H, W), each below `bins`.

    Returns:
        (n, heights x bins), one height after another from the top.
    """
    n, height, width = patterns.shape
    rows, columns, side = height // step, width // step, block // step
    y, x = np.arange(rows * step) // step, np.arange(columns * step) // step
    cell = (np.arange(n)[:, None, None] * rows + y[:, None]) * columns + x
    index = cell * bins + patterns[:, : rows * step, : columns * step]
    counts = np.zeros(n * rows * columns * bins, dtype=np.uint8)
    np.add.at(counts, index.reshape(-1), np.uint8(1))
    counts = counts.reshape(n, rows, columns, bins)
    down, across = rows - side + 1, columns - side + 1
    strips = _accumulated(np.add, [counts[:, i : i + down] for i in range(side)])
    blocks = _accumulated(np.add, [strips[:, :, i : i + across] for i in range(side)])
    most = _accumulated(np.maximum, [blocks[:, :, i] for i in range(across)])
    return most.reshape(n, -1)


def _accumulated(ufunc: np.ufunc, arrays: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Sum or maximum of arrays; twice as fast as a reduction over an axis of a few entries."""
    total = arrays[0].copy()
    for array in arrays[1:]:
        ufunc(total, array, out=total)
    return total
