"""LOMO and BoW in images a second, beside the same written plainly, in one run.

    python -m benchmarks.handcrafted                 # 256 images, 2 threads
    python -m benchmarks.handcrafted --threads 1

"plain" takes one image after another and one block or cell after another, as the authors' MATLAB
and the ports of it do, each block's histogram by NumPy. It is fed the same Retinex, and describes
fewer images; both are counted in images a second. Images are noise of several scales, which
has about as many different colours as images have.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.rounds import Timing, compare
from crgan.common.settings import settings_from
from crgan.data.store import Split
from crgan.handcrafted import bow, lomo
from crgan.handcrafted.colour_names import own_table
from crgan.pipeline.params import load


def crops(count: int, height: int, width: int) -> np.ndarray:
    """Smooth noise, uint8 (count, height, width, 3)."""
    rng = np.random.default_rng(0)
    result = np.empty((count, height, width, 3), dtype=np.uint8)
    for i in range(count):
        image = np.zeros((height, width, 3))
        for side in (4, 16, 64):
            coarse = rng.normal(0, 40, (side, side // 2, 3))
            image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        result[i] = np.clip(image + rng.uniform(80, 170, 3), 0, 255)
    return result


def plain_lomo(image: np.ndarray, options: lomo.Options, blur: lomo.Surrounds) -> np.ndarray:
    """LOMO of one image, block by block."""
    clear = lomo.retinex(image[None], blur, options.retinex_mode, options.retinex_clip)
    hsv = lomo.quantised_hsv(clear, options.hsv_bins)[0]
    grey = lomo.grey_levels(image[None])[0]
    kinds: list[list[np.ndarray]] = [[], [], []]
    for scale in range(options.scales):
        if scale:
            height, width = (2 * (size // 2) for size in grey.shape)
            parts = [np.s_[y:height:2, x:width:2] for y in (0, 1) for x in (0, 1)]
            hsv = np.floor(sum(hsv[part] for part in parts) / 4)
            grey = sum(grey[part] for part in parts) / 4
        joint = (hsv @ (1, options.hsv_bins[0], np.prod(options.hsv_bins[:2]))).astype(int)
        maps = [joint, *(plain_siltp(grey, r, options.siltp_tau) for r in options.siltp_radii)]
        for kind, values, bins in zip(kinds, maps, (options.colours, 81, 81), strict=True):
            height, width = values.shape
            for y in range(0, height - options.block + 1, options.step):
                most = np.zeros(bins)
                for x in range(0, width - options.block + 1, options.step):
                    block = values[y : y + options.block, x : x + options.block]
                    most = np.maximum(most, np.bincount(block.ravel(), minlength=bins))
                kind.append(most)
    damped = [np.log(np.concatenate(kind) + 1) for kind in kinds]
    return np.concatenate([kind / np.linalg.norm(kind) for kind in damped])


def plain_siltp(grey: np.ndarray, radius: int, tau: float) -> np.ndarray:
    """SILTP of one image (H, W), pixel by pixel along rows."""
    height, width = grey.shape
    padded = np.pad(grey, radius, mode="edge")
    codes = np.zeros((height, width), dtype=int)
    low, high = np.float32(1 - tau), np.float32(1 + tau)
    for y in range(height):
        centre, row = grey[y], y + radius
        left, right = padded[row, :width], padded[row, 2 * radius :]
        up, down = (padded[r, radius : radius + width] for r in (row - radius, row + radius))
        for weight, neighbour in ((1, right), (3, up), (9, left), (27, down)):
            codes[y] += weight * ((neighbour < low * centre) + 2 * (neighbour > high * centre))
    return codes


def plain_bow(
    image: np.ndarray, table: np.ndarray, codebook: np.ndarray, options: bow.Options
) -> np.ndarray:
    """BoW's histogram of one image, cell by cell."""
    rows, columns = image.shape[0] // options.cell, image.shape[1] // options.cell
    counts = np.zeros((rows // options.strip, len(codebook)))
    occurrences = np.zeros(len(codebook))
    for row, y in enumerate(np.linspace(-1, 1, rows)):
        for column, x in enumerate(np.linspace(-1, 1, columns)):
            top, left = row * options.cell, column * options.cell
            part = image[top : top + options.cell, left : left + options.cell].reshape(-1, 3) // 8
            names = table[part.astype(int) @ (1, 32, 1024)].mean(axis=0)
            distances = np.linalg.norm(names - codebook, axis=1)
            nearest = np.argsort(distances)[: options.nearest]
            votes = np.exp(-distances[nearest] / options.sigma**2) * np.exp(-x * x - y * y)
            counts[row // options.strip, nearest] += votes
            occurrences[nearest] += 1
    return (counts / np.sqrt(np.maximum(occurrences, 1))).reshape(-1)


def report(name: str, timings: dict[str, Timing], counts: dict[str, int]) -> None:
    """One line: images a second by the clock and by the processor, and how far apart."""
    speed = {who: counts[who] / statistics.median(timing.wall) for who, timing in timings.items()}
    busy = {who: counts[who] / statistics.median(timing.cpu) for who, timing in timings.items()}
    ours, plain = (np.asarray(timings[who].result) for who in ("ours", "plain"))
    print(
        f"{name}: {speed['ours']:.0f} images/s, {speed['ours'] / speed['plain']:.1f} times plain "
        f"({speed['plain']:.1f}); {busy['ours']:.0f} a second of processor time; "
        f"{ours.shape[1]} numbers, at most {np.abs(ours[: len(plain)] - plain).max():.0e} apart"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    sections = {name: dict(load()["handcrafted"][name]) for name in ("lomo", "bow")}
    few = max(arguments.images // 32, 1)
    counts = {"ours": arguments.images, "plain": few}
    print(f"{arguments.images} images, plain {few}; {arguments.threads} threads")

    height, width = sections["lomo"].pop("image")
    images = crops(arguments.images, height, width)
    options = settings_from(lomo.Options, sections["lomo"], "lomo")
    describe = lomo.describer(options, height, width, threads=arguments.threads)
    blur = lomo.surrounds(height, width, options.retinex_sigmas)
    candidates: dict[str, Callable[[], object]] = {
        "ours": lambda: describe(images),
        "plain": lambda: np.stack([plain_lomo(image, options, blur) for image in images[:few]]),
    }
    with threadpool_limits(1, user_api="blas"):
        report(f"LOMO {height}x{width}", compare(candidates, arguments.rounds), counts)

    height, width = sections["bow"].pop("image")
    seen = crops(arguments.images, height, width)
    words = settings_from(bow.Options, sections["bow"], "bow")
    table = own_table(words.colour_spread)
    codebook = bow.learn_codebook(seen, table, words, seed=0)
    nothing = np.zeros(len(seen), dtype=np.int64)
    split = Split(seen, nothing, nothing, nothing)
    describe_words = bow.fit(split, split, sections["bow"], seed=0, threads=arguments.threads)
    raw = np.stack([plain_bow(image, table, codebook, words) for image in seen])
    known = bow.statistics_of(raw.astype(np.float32))
    candidates = {
        "ours": lambda: describe_words(seen),
        "plain": lambda: bow.weighted(
            np.stack([plain_bow(image, table, codebook, words) for image in seen[:few]]).astype(
                np.float32
            ),
            known,
        ),
    }
    with threadpool_limits(1, user_api="blas"):
        report(f"BoW {height}x{width}", compare(candidates, arguments.rounds), counts)


if __name__ == "__main__":
    main()
