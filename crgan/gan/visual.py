"""How far renderings move an image and how near they come to the target: LPIPS and FID.

The rows of Tables 1 and 4. What the paper must have meant by them is in `crgan.metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crgan.common.settings import Natural, Pair, settings_from
from crgan.data.batches import from_gan, to_gan
from crgan.gan.base import Renderer, Task
from crgan.metrics.fid import Dims, fid_between, load_inception, statistics
from crgan.metrics.fid_cache import kept_statistics
from crgan.metrics.lpips_distance import load_lpips, source_target_lpips, translation_lpips
from crgan.metrics.measurement import WeightsFrom
from crgan.pipeline.progress import bar_range

_BATCH = 32


@dataclass(frozen=True)
class Settings:
    """The section `visual` of the parameters.

    Attributes:
        images: source images rendered; all, where there are fewer.
        target_images: target images that FID compares them with; all, where there are fewer.
        pairs_seed: which images, and which target instances they meet. All methods and seeds of
            a direction are so measured on the same ones.
        fid_dims: layer of the Inception, 64, 192, 768 or 2048.
        lpips_net: alex, as section 4.1 has it.
    """

    images: Pair
    target_images: Pair
    pairs_seed: Natural
    fid_dims: Dims
    lpips_net: Literal["alex"]


@dataclass(frozen=True)
class Kept:
    """Where FID statistics of real images are kept, which every method and seed compares with.

    Attributes:
        folder: of the kept files; may be deleted at any time.
        manifests: SHA-256 of the manifests of "source" and "target", part of the files' keys.
    """

    folder: Path
    manifests: Mapping[str, str]


def settings_of(section: Mapping[str, Any]) -> Settings:
    """The section `visual` of the parameters, read strictly."""
    return settings_from(Settings, section, "visual")


def measure(
    task: Task,
    renderer: Renderer,
    lpips_weights: WeightsFrom,
    inception_weights: WeightsFrom,
    settings: Settings,
    device: str,
    kept: Kept | None = None,
) -> dict[str, Any]:
    """`lpips`, `fid`, their `reference` row and `settings`, of a renderer on its task.

    With or without `kept` the values are the same, bit for bit.
    """
    seed = settings.pairs_seed
    rng = np.random.default_rng(seed)
    s_rows = _choose(len(task.source), settings.images, rng)
    t_rows = _choose(len(task.target), settings.target_images, rng)
    x_s, x_t = task.source.images[s_rows], task.target.images[t_rows]
    x_g = _render(renderer, x_s, s_rows, rng, device)
    lpips = load_lpips(lpips_weights, device=device)
    inception = load_inception(inception_weights, dims=settings.fid_dims, device=device)
    source, target = (
        kept_statistics(kept.folder, inception, x, kept.manifests[role])
        if kept
        else statistics(inception, x)
        for role, x in (("source", x_s), ("target", x_t))
    )
    moved = translation_lpips(lpips, x_s, x_g)
    fidelity = fid_between(statistics(inception, x_g), target)
    apart = source_target_lpips(lpips, x_s, x_t, pairs=len(x_s), seed=seed)
    gap = fid_between(source, target)
    return {
        "lpips": moved.value,
        "fid": fidelity.value,
        "reference": {"lpips": apart.value, "fid": gap.value},
        "settings": {
            "lpips": _without_value(moved.to_dict()),
            "fid": _without_value(fidelity.to_dict()),
            "reference_lpips": _without_value(apart.to_dict()),
            "reference_fid": _without_value(gap.to_dict()),
            "pairs_seed": seed,
        },
    }


def _render(
    renderer: Renderer,
    x_s: NDArray[np.uint8],
    s_rows: NDArray[np.int64],
    rng: np.random.Generator,
    device: str,
) -> NDArray[np.uint8]:
    """One rendering of each source image, as bytes: what LPIPS and FID see of any image."""
    x_g = np.empty_like(x_s)
    for start in bar_range(0, len(x_s), _BATCH, desc="rendering", unit="batch", images=_BATCH):
        some = slice(start, start + _BATCH)
        x_g[some] = from_gan(renderer.render(to_gan(x_s[some]).to(device), s_rows[some], rng))
    return x_g


def _choose(n: int, wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`wanted` places of n, or all of them, in order."""
    return np.sort(rng.choice(n, size=min(n, wanted), replace=False))


def _without_value(measurement: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in measurement.items() if key not in ("value", "weights")}
