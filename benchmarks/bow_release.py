"""BoW against its authors' released files, number by number.

    python -m benchmarks.bow_release --data FOLDER --images FOLDER

`--data` holds w2c.mat, bow_codebook_350.mat and bow_params_350.mat (from the repository
zhunzhong07/IDE-baseline-Market-1501, as codebook_350.mat and params_350.mat; they are not ours to
ship). `--images` holds person crops. Shown are:

    options     the structure `par` beside `handcrafted.bow` of params.yaml
    table       the released colour table, and how often our own naming gives the same term
    words       the 10 nearest released words of each cell, by plain loops and by crgan
    features    the 5,600 numbers of an image, by plain loops and by crgan
    statistics  of how many images the released IDF is the logarithm; IDF and negative evidence
                counted on the images given, beside the released ones, which were counted on
                others: what to expect is the same scale, and like strips
    codebook    how far cells lie from their nearest word: the released codebook and one of ours

The plain loops are written from the method's description, cell by cell and word by word, and share
no code with crgan. The command fails when options, words, features or the definition of IDF differ.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from crgan.common.errors import UserError
from crgan.handcrafted import bow
from crgan.handcrafted.colour_names import TERMS, load_matlab, load_table, own_table
from crgan.pipeline.params import load

PAIRS = {"maxK_knn": "nearest", "k_knn": "nearest", "step": "cell", "cellW": "cell",
         "cellH": "cell", "ystep": "strip", "striplength": "strip", "sigma": "sigma"}  # fmt: skip
PURE = {"blue": (0, 0, 255), "brown": (128, 102, 64), "green": (0, 255, 0), "red": (255, 0, 0),
        "orange": (255, 165, 0), "pink": (255, 192, 203), "purple": (128, 0, 128),
        "white": (255, 255, 255), "yellow": (255, 255, 0), "grey": (128, 128, 128),
        "black": (0, 0, 0)}  # fmt: skip
FEATURES_APART = 1e-5  # of numbers up to about 0.1, in float32


def read(folder: Path) -> np.ndarray:
    """All images of a folder at 128x64, uint8 (n, 128, 64, 3)."""
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in (".png", ".jpg", ".jpeg"))
    if not files:
        raise UserError(f"{folder}: no images")
    images = []
    for file in files:
        image = cv2.imread(str(file), cv2.IMREAD_COLOR_RGB)
        if image is None:
            raise UserError(f"{file}: not a readable image")
        images.append(cv2.resize(image, (64, 128), interpolation=cv2.INTER_AREA))
    return np.stack(images)


def plain(
    image: np.ndarray, table: np.ndarray, codebook: np.ndarray, ne: np.ndarray, idf: np.ndarray
) -> tuple[np.ndarray, list[set[int]]]:
    """One image's feature and each cell's 10 words, by loops in double precision."""
    words = len(codebook)
    strips = np.zeros((16, words))
    occurrences = np.zeros(words)
    chosen = []
    for row in range(32):
        for column in range(16):
            names = np.zeros(11)
            for y in range(4 * row, 4 * row + 4):
                for x in range(4 * column, 4 * column + 4):
                    r, g, b = (int(v) // 8 for v in image[y, x])
                    names += table[r + 32 * g + 32 * 32 * b] / 16
            distances = [float(np.sqrt(((names - word) ** 2).sum())) for word in codebook]
            nearest = sorted(range(words), key=lambda word: distances[word])[:10]
            u, v = -1 + 2 * column / 15, -1 + 2 * row / 31
            for word in nearest:
                strips[row // 2, word] += np.exp(-distances[word] / 9) * np.exp(-(u * u) - v * v)
                occurrences[word] += 1
            chosen.append(set(nearest))
    for word in range(words):
        if occurrences[word]:
            strips[:, word] /= np.sqrt(occurrences[word])
    feature = (strips.reshape(-1) - ne) * np.sqrt(idf)
    return feature / np.sqrt((feature**2).sum()), chosen


def compare_options(data: Path, ours: bow.Options) -> bool:
    """Print the released parameters beside ours; whether all agree."""
    par: dict[str, Any] = load_matlab(
        data / "bow_params_350.mat", "par", (*PAIRS, "flag_bu", "flag_gauss", "sigmax", "sigmay")
    )
    theirs = {key: int(np.squeeze(value)) for key, value in par.items()}
    agree = all(theirs[key] == getattr(ours, name) for key, name in PAIRS.items())
    agree &= (theirs["sigmax"], theirs["sigmay"]) == ours.mask_sigma
    agree &= theirs["flag_bu"] == theirs["flag_gauss"] == 1
    print(f"options     {theirs}: {'as in params.yaml' if agree else 'NOT as in params.yaml'}")
    return agree


def compare_tables(released: np.ndarray, own: np.ndarray, images: np.ndarray) -> None:
    """Print what the released table says of pure colours, and where our naming agrees."""
    right = []
    for term, (r, g, b) in PURE.items():
        row = r // 8 + 32 * (g // 8) + 1024 * (b // 8)
        right.append(TERMS[released[row].argmax()] == term)
    sums = np.abs(released.sum(axis=1) - 1).max()
    print(f"table       rows sum to 1 within {sums:.0e}; {sum(right)} of 11 pure colours have "
          "their own term, so the columns' order is as ours")  # fmt: skip
    same = released.argmax(axis=1) == own.argmax(axis=1)
    index = (images // 8).astype(int) @ (1, 32, 1024)
    overlap = np.minimum(released, own).sum(axis=1)
    print(f"            own naming: the same first term for {100 * same.mean():.0f} % of the table "
          f"and {100 * same[index].mean():.0f} % of the images' pixels; shared probability "
          f"{overlap.mean():.2f} and {overlap[index].mean():.2f}")  # fmt: skip


def compare_features(
    images: np.ndarray, table: np.ndarray, codebook: np.ndarray, data: Path, ours: bow.Options
) -> bool:
    """Print how far plain loops and crgan are apart; whether near enough."""
    statistics = bow.load_statistics(str(data / "bow_params_350.mat"), 5600)
    raw = bow.histograms(images, table, codebook, ours)
    features = bow.weighted(raw, statistics)
    ne, idf = (v.astype(float) for v in (statistics.negative_evidence, statistics.idf))
    far, same, cells = 0.0, 0, 0
    for image, feature in zip(images, features, strict=True):
        expected, chosen = plain(image, table.astype(float), codebook.astype(float), ne, idf)
        far = max(far, float(np.abs(expected - feature).max()))
        colours = bow.cell_colours(image[None], table, 4).reshape(-1, 11)
        order = np.argsort(bow.squared_distances(colours, codebook), axis=1)[:, :10]
        same += sum(set(row.tolist()) == words for row, words in zip(order, chosen, strict=True))
        cells += len(chosen)
    print(f"words       {same} of {cells} cells have the same 10 nearest words")
    print(f"features    {len(images)} images x {features.shape[1]}: at most {far:.0e} apart")
    return same == cells and far < FEATURES_APART


def counted_on(idf: np.ndarray, most: int = 50_000) -> int | None:
    """The number of images N for which each IDF is log(N / n) with a whole n; None for no N."""
    shares = np.exp(-np.unique(idf))
    for images in range(1, most):
        n = images * shares
        if np.abs(n - np.round(n)).max() < 1e-6:
            return images
    return None


def compare_statistics(raw: np.ndarray, data: Path) -> bool:
    """Print the images' IDF and negative evidence beside the released ones; whether the released
    IDF is of our definition.
    """
    par = load_matlab(data / "bow_params_350.mat", "par", ("idf", "ne"))
    total = counted_on(par["idf"])
    print(f"statistics  each released IDF is log(N / n), n whole, for N = {total} images")
    ours = bow.statistics_of(raw)
    for name, key in (("idf", "idf"), ("negative_evidence", "ne")):
        a, b = (v.reshape(16, -1) for v in (getattr(ours, name), par[key].astype(np.float64)))
        pairs = {"all": (a, b), "words": (a.mean(axis=0), b.mean(axis=0)),
                 "strips": (a.mean(axis=1), b.mean(axis=1))}  # fmt: skip
        text = ", ".join(f"{k} {np.corrcoef(x.ravel(), y.ravel())[0, 1]:.2f}"
                         for k, (x, y) in pairs.items())  # fmt: skip
        print(f"            {name}: mean {a.mean():.3f}, released {b.mean():.3f}; "
              f"correlations {text}")  # fmt: skip
    return total is not None


def compare_codebooks(
    images: np.ndarray, table: np.ndarray, codebook: np.ndarray, ours: bow.Options
) -> None:
    """Print the distance of cells to their nearest word."""
    half = len(images) // 2
    own = bow.learn_codebook(images[:half], table, ours, seed=0)
    cells = bow.cell_colours(images[half:], table, 4).reshape(-1, 11)
    far = {
        name: float(np.sqrt(bow.squared_distances(cells, words).min(axis=1)).mean())
        for name, words in (("released", codebook), ("own", own))
    }
    apart = np.sqrt(bow.squared_distances(own, codebook).min(axis=1))
    among = bow.squared_distances(codebook, codebook) + np.eye(len(codebook), dtype=np.float32)
    print(f"codebook    mean distance of cells to the nearest word: released {far['released']:.4f},"
          f" own from the other half of the images {far['own']:.4f}; our words to the nearest "
          f"released word {apart.mean():.4f}, released words among themselves "
          f"{np.sqrt(among.min(axis=1)).mean():.4f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--loops", type=int, default=4, help="images for the plain loops")
    arguments = parser.parse_args()
    section = {k: v for k, v in load()["handcrafted"]["bow"].items() if k != "image"}
    ours = bow.Options(**{**section, "mask_sigma": tuple(section["mask_sigma"])})
    images = read(arguments.images)
    table = load_table(arguments.data / "w2c.mat")
    codebook = bow.load_codebook(str(arguments.data / "bow_codebook_350.mat"), ours.words)

    fine = compare_options(arguments.data, ours)
    compare_tables(table, own_table(ours.colour_spread), images)
    fine &= compare_features(images[: arguments.loops], table, codebook, arguments.data, ours)
    parts = [bow.histograms(images[i : i + 4], table, codebook, ours)
             for i in range(0, len(images), 4)]  # fmt: skip
    fine &= compare_statistics(np.concatenate(parts), arguments.data)
    compare_codebooks(images, table, codebook, ours)
    if not fine:
        raise SystemExit("options, words, features or IDF differ from the released ones")


if __name__ == "__main__":
    main()
