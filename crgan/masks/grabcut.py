"""Person masks without weights: GrabCut (Rother et al., 2004) from a pedestrian-shaped start.

A person crop is framed on the person, so the place says most: the middle of the body is certain to
be person, the corners are certain not to be, and GrabCut's colour models and graph cut decide the
band between. No post-processing: keeping one component would drop the half of a person behind a
pole, filling holes would fill the gap between arms and body or between legs.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from crgan.common.settings import Count, Partly, Within
from crgan.masks.backend import Batch, MaskBackend, Resources, options_from

# Head, trunk with arms, legs: centre and half axes (x, y) as shares of the crop's width and height.
# Drawn over real pedestrian crops; in a detector's crop the person spans 5-95 % of the height.
_BODY = (
    (0.5, 0.15, 0.16, 0.10),
    (0.5, 0.36, 0.30, 0.24),
    (0.5, 0.70, 0.27, 0.28),
)


@dataclass(frozen=True)
class Options:
    """Settings; the distance is an ellipse's squared radius, 1 on the body's outline.

    Attributes:
        iterations: rounds of colour models and cut. One: on real crops a second and a fourth moved
            the masks by less than 0.01 IoU and cost half as much again each.
        working_height: crops are cut at this height and the mask enlarged. The cost grows with the
            pixels; 96 costs half of 128 for 0.015 IoU, and training sizes are below it.
        inside: below this distance a pixel is certainly person. Small: an axis of the body's parts.
        outside: above this distance a pixel is certainly not. 2 leaves swinging arms and legs in
            the undecided band, and keeps a second person's half out.
    """

    iterations: Count = 1
    working_height: Annotated[int, Within(least=16)] = 96
    inside: Partly = 0.05
    outside: Annotated[float, Within(above=1)] = 2.0


class GrabCut:
    """The backend `grabcut`; deterministic, about 6 ms a crop at working height 96."""

    name = "grabcut"
    weights_sha256: str | None = None

    def __init__(self, options: Options | None = None, threads: int = 1) -> None:
        self.options = options or Options()
        self.settings: dict[str, Any] = asdict(self.options)
        self._threads = threads

    def masks(self, batch: Batch) -> NDArray[np.bool_]:
        """See `MaskBackend.masks`."""
        with ThreadPoolExecutor(self._threads) as pool:
            return np.stack(list(pool.map(self._cut, batch.images)))

    def _cut(self, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
        height, width = image.shape[:2]
        h = min(height, self.options.working_height)
        w = max(1, round(width * h / height))
        small = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
        labels = _start(h, w, self.options.inside, self.options.outside).copy()
        cv2.setRNGSeed(0)  # the colour models start from a k-means with random centres
        background, person = np.zeros((1, 65)), np.zeros((1, 65))
        everywhere = (0, 0, w, h)  # the labels say where to look; OpenCV ignores the rectangle
        rounds = self.options.iterations
        cv2.grabCut(small, labels, everywhere, background, person, rounds, cv2.GC_INIT_WITH_MASK)
        inside = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.float32)
        result: NDArray[np.bool_] = cv2.resize(inside, (width, height)) > 0.5
        return result


@lru_cache(maxsize=8)
def _start(height: int, width: int, inside: float, outside: float) -> NDArray[np.uint8]:
    """GrabCut's labels before the first cut, uint8 (height, width)."""
    y, x = np.mgrid[0:height, 0:width]
    y, x = (y + 0.5) / height, (x + 0.5) / width
    distance = np.min([((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 for cx, cy, rx, ry in _BODY], 0)
    labels = np.where(distance < 1, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[distance < inside] = cv2.GC_FGD
    labels[distance > outside] = cv2.GC_BGD
    return labels


def make(settings: Mapping[str, Any], resources: Resources) -> MaskBackend:
    """See `crgan.masks.backend`."""
    return GrabCut(options_from(Options, "grabcut", settings), resources.threads)
