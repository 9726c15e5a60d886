"""BoW: bag of colour words (Zheng et al. 2015), the baseline that came with Market-1501.

An image of 128x64 is a grid of 32x16 cells of 4x4 pixels; a cell is eleven numbers, how likely its
pixels are called each basic colour term. Words are k-means centres of cells (350). A cell votes for
its 10 nearest words, by exp(-d / sigma^2), the less the farther it is from the image's middle
(Gaussian mask), in the histogram of its strip of two grid rows: 16 strips x 350 words = 5,600
numbers. Then, in this order: burstiness (a word's bins are divided by the square root of how often
it occurs in the image), negative evidence (the mean over images is taken away), IDF (its square
root is multiplied in), length 1.

Colour table, codebook and statistics are our own unless files are named: the authors' released ones
fit (`colour_table`, `codebook`, `statistics_file`). `python -m benchmarks.bow_release` checks this
file against them number by number.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from crgan.common.errors import UserError
from crgan.common.settings import Count, Positive, settings_from
from crgan.data.store import Split
from crgan.handcrafted.base import Describe
from crgan.handcrafted.chunks import Features, Images, in_chunks
from crgan.handcrafted.colour_names import load_matlab, load_table, own_table, table_index

_CHUNK = 8  # images at a time: 4,096 cells x 350 distances, 6 MB a thread


@dataclass(frozen=True)
class Options:
    """Section `handcrafted.bow` of the parameters.

    Attributes:
        cell: side of a cell in pixels; cells touch.
        strip: grid rows of a strip; strips touch.
        words: of the codebook.
        nearest: words a cell votes for.
        sigma: of a vote's weight.
        mask_sigma: of the mask across and down; the image reaches from -1 to 1 each way.
        samples: cells of the source's training images that the codebook is learned from.
        statistics: whose training images negative evidence and IDF are counted on.
        colour_spread: of our own colour naming (`crgan.handcrafted.colour_names`).
        colour_table, codebook, statistics_file: MATLAB files to use instead; "" for our own.
    """

    cell: Count
    strip: Count
    words: Count
    nearest: Count
    sigma: Positive
    mask_sigma: tuple[Positive, Positive]
    samples: Count
    statistics: Literal["source", "target"]
    colour_spread: Positive
    colour_table: str
    codebook: str
    statistics_file: str

    def __post_init__(self) -> None:
        if self.nearest > self.words:
            raise UserError(f"nearest is {self.nearest}, of only {self.words} words")
        if self.samples < self.words:
            raise UserError(f"samples is {self.samples}, fewer than the {self.words} words")

    def check_size(self, height: int, width: int) -> None:
        """Refuse images that are no whole number of cells and strips."""
        dimension(self, height, width)


@dataclass(frozen=True)
class Statistics:
    """Of many images' histograms; (D,) each.

    Attributes:
        negative_evidence: the mean histogram.
        idf: log(images / images in which the word occurs in the strip).
    """

    negative_evidence: Features
    idf: Features


def fit(
    source: Split,
    target: Split,
    options: Mapping[str, Any],
    *,
    seed: int,
    threads: int,
) -> Describe:
    """Learn codebook and statistics (`crgan.handcrafted.base.Fit`).

    Raises:
        UserError: bad options, images that are no whole number of cells and strips, files that
            do not fit, or too few cells of different colour for the codebook.
    """
    settings = settings_from(Options, options, "handcrafted.bow")
    height, width = target.images.shape[1:3]
    dims = dimension(settings, height, width)
    if settings.colour_table:
        table = load_table(settings.colour_table)
    else:
        table = own_table(settings.colour_spread)
    if settings.codebook:
        codebook = load_codebook(settings.codebook, settings.words)
    else:
        codebook = learn_codebook(source.images, table, settings, seed)

    def histograms_of(images: Images) -> Features:
        return in_chunks(
            lambda part: histograms(part, table, codebook, settings),
            images, dims, chunk=_CHUNK, threads=threads, description="BoW",
        )  # fmt: skip

    if settings.statistics_file:
        counted = load_statistics(settings.statistics_file, dims)
    else:
        among = source if settings.statistics == "source" else target
        counted = statistics_of(histograms_of(among.images))
    return lambda images: weighted(histograms_of(images), counted)


def dimension(options: Options, height: int, width: int) -> int:
    """Length of a description.

    Raises:
        UserError: images that are no whole number of cells and strips.
    """
    if height % (options.cell * options.strip) or width % options.cell:
        raise UserError(
            f"bow: images of {height}x{width} are no whole number of cells of {options.cell} "
            f"pixels and strips of {options.strip} cells; use another image size"
        )
    return height // (options.cell * options.strip) * options.words


def cell_colours(images: Images, table: Features, cell: int) -> Features:
    """Mean colour-name probabilities of each cell: (n, H, W, 3) to (n, H / cell, W / cell, 11)."""
    names = table[table_index(images)]
    rows = functools.reduce(np.add, [names[:, i::cell] for i in range(cell)])
    cells: Features = functools.reduce(np.add, [rows[:, :, i::cell] for i in range(cell)])
    return cells / np.float32(cell**2)


def histograms(images: Images, table: Features, codebook: Features, options: Options) -> Features:
    """Histograms after burstiness, before the statistics: uint8 (n, H, W, 3) to float32 (n, D).

    D runs over strips from the top, and within a strip over the words.
    """
    colours = cell_colours(images, table, options.cell)
    n, rows, columns, _ = colours.shape
    squares = squared_distances(colours.reshape(-1, colours.shape[-1]), codebook)
    farthest = np.partition(squares, options.nearest - 1, axis=1)[:, options.nearest - 1]
    cell, word = np.nonzero(squares <= farthest[:, None])
    votes = np.exp(-np.sqrt(squares[cell, word]) / np.float32(options.sigma**2))
    votes *= gaussian_mask(rows, columns, options.mask_sigma).reshape(-1)[cell % (rows * columns)]

    strips, words = rows // options.strip, len(codebook)
    image, strip = cell // (rows * columns), cell // (columns * options.strip)
    counts = np.zeros(n * strips * words, dtype=np.float32)
    np.add.at(counts, strip * words + word, votes)
    occurrences = np.zeros(n * words, dtype=np.float32)
    np.add.at(occurrences, image * words + word, np.float32(1))
    counts = counts.reshape(n, strips, words)
    counts /= np.sqrt(np.maximum(occurrences, 1)).reshape(n, 1, words)
    return counts.reshape(n, -1)


def squared_distances(x: Features, words: Features) -> Features:
    """Squared Euclidean distances (n, K) of x (n, d) to words (K, d)."""
    products = x @ (-2 * words.T)
    products += np.square(x).sum(axis=1)[:, None]
    products += np.square(words).sum(axis=1)
    np.maximum(products, 0, out=products)
    return np.asarray(products, dtype=np.float32)


def gaussian_mask(rows: int, columns: int, sigma: tuple[float, float]) -> Features:
    """exp(-(x / sigma_x)^2 - (y / sigma_y)^2) on the grid (rows, columns), x and y in [-1, 1]."""
    x = np.linspace(-1, 1, columns) / sigma[0]
    y = np.linspace(-1, 1, rows) / sigma[1]
    mask: NDArray[np.float64] = np.exp(-np.square(x) - np.square(y)[:, None])
    return mask.astype(np.float32)


def statistics_of(raw: Features) -> Statistics:
    """Negative evidence and IDF of histograms (n, D). A bin no image has counts as if one had."""
    having = np.maximum((raw > 0).sum(axis=0), 1)
    return Statistics(
        raw.mean(axis=0, dtype=np.float64).astype(np.float32),
        np.log(len(raw) / having).astype(np.float32),
    )


def weighted(raw: Features, statistics: Statistics) -> Features:
    """(histogram - negative evidence) sqrt(IDF), of length 1; (n, D)."""
    values = (raw - statistics.negative_evidence) * np.sqrt(statistics.idf)
    lengths = np.sqrt(np.einsum("nd,nd->n", values, values))
    return values / np.maximum(lengths, np.finfo(np.float32).tiny)[:, None]


def learn_codebook(images: Images, table: Features, options: Options, seed: int) -> Features:
    """k-means centres (words, 11) of cells drawn from images (n, H, W, 3).

    Raises:
        UserError: fewer different cells than words.
    """
    rng = np.random.default_rng(seed)
    grid = (images.shape[1] // options.cell) * (images.shape[2] // options.cell)
    total = len(images) * grid
    drawn = np.sort(rng.choice(total, min(options.samples, total), replace=False, shuffle=False))
    cells = np.empty((len(drawn), table.shape[1]), dtype=np.float32)
    for start in range(0, len(images), 64):  # whole, the images' pixels would be gigabytes
        first, last = np.searchsorted(drawn, (start * grid, (start + 64) * grid))
        colours = cell_colours(images[start : start + 64], table, options.cell)
        cells[first:last] = colours.reshape(-1, table.shape[1])[drawn[first:last] - start * grid]
    different = len(np.unique(cells, axis=0))
    if different < options.words:
        raise UserError(
            f"bow: {different} cells of different colour among {len(cells)}, too few for "
            f"{options.words} words; use fewer words or more samples"
        )
    with threadpool_limits(1):  # threads add up their shares in no fixed order
        means = KMeans(options.words, n_init=1, random_state=seed).fit(cells)
    return np.asarray(means.cluster_centers_, dtype=np.float32)


def load_codebook(path: str, words: int) -> Features:
    """A MATLAB file's `codebook` (words, 11).

    Raises:
        UserError: no such file, or another shape.
    """
    codebook: NDArray[Any] = load_matlab(path, "codebook")
    if codebook.shape != (words, 11):
        raise UserError(f"{path}: codebook is {codebook.shape}, bow.words asks for {(words, 11)}")
    return np.asarray(codebook, dtype=np.float32)


def load_statistics(path: str, dims: int) -> Statistics:
    """A MATLAB file's `par.ne` and `par.idf`, of `dims` entries each.

    Raises:
        UserError: no such file, or another length.
    """
    fields = load_matlab(path, "par", ("ne", "idf"))
    ne, idf = (np.asarray(fields[name], dtype=np.float32).reshape(-1) for name in ("ne", "idf"))
    if len(ne) != dims or len(idf) != dims:
        raise UserError(f"{path}: {len(ne)} and {len(idf)} statistics for {dims} bins")
    return Statistics(ne, idf)
