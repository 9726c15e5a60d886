"""A demo network while it is being written: its people, its shots, its files."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from crgan.synth.camera import Camera
from crgan.synth.config import DATASETS, DemoConfig
from crgan.synth.identity import Identity, Wardrobe, sample_identity, wardrobe_of
from crgan.synth.shoot import ALIGNED, Mask, Pixels, sample_crop, sample_visit, shoot

CAMERAS = {"market1501": 6, "dukemtmc": 8, "campus": 6}
# What a random stream is for; the stream's key is (seed, data set, purpose, numbers...).
PEOPLE, VISITS, PIDS, MOMENTS, EXTRAS = 2, 3, 4, 5, 6


@dataclass
class Network:
    """One data set while it is being written."""

    name: str
    config: DemoConfig
    root: Path
    wardrobe: Wardrobe
    masks: dict[str, Mask]
    counts: dict[str, int]

    def rng(self, *key: int) -> np.random.Generator:
        """A stream of its own for each purpose and number, so sizes do not shift other draws."""
        return np.random.default_rng([self.config.seed, DATASETS.index(self.name), *key])

    def person(self, index: int) -> Identity:
        """The network's person of that running number."""
        return sample_identity(self.rng(PEOPLE, index), self.wardrobe)

    def image(
        self, camera: Camera, who: Identity | None, moment: tuple[int, ...], quality: str
    ) -> tuple[Pixels, Mask]:
        """Shoot `who`; `moment` is (person, camera, image), the first two make up the visit."""
        visit = sample_visit(camera, self.rng(VISITS, *moment[:2]), self.config)
        rng = self.rng(MOMENTS, *moment)
        crop = sample_crop(rng, "junk" if quality == "junk" else "detected")
        if quality == "aligned":
            crop = ALIGNED
        return shoot(self.name, camera, visit, who, crop, self.wardrobe, self.config, rng)

    def save(self, path: str, camera: Camera, image: Pixels, mask: Mask) -> None:
        """Write a JPEG and remember its mask."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(encode_jpeg(image, camera.quality))
        self.masks[path] = mask
        split = path.split("/")[0]
        self.counts[split] = self.counts.get(split, 0) + 1


def network_at(dataset: str, root: Path, config: DemoConfig) -> Network:
    """A network about to be written under `root`."""
    return Network(dataset, config, root, wardrobe_of(dataset, config.clothing_gap), {}, {})


def encode_jpeg(image: Pixels, quality: int) -> bytes:
    """JPEG bytes of an RGB image."""
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("the JPEG encoder failed")
    return bytes(data)


def jpeg_round_trip(image: Pixels, quality: int) -> Pixels:
    """The image as it comes back from a JPEG file."""
    data = np.frombuffer(encode_jpeg(image, quality), np.uint8)
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1])


def name_people(network: Network, largest: int, groups: tuple[int, ...]) -> list[list[int]]:
    """Distinct sorted pids (1..largest) for each group, mixed as in the real sets."""
    rng = network.rng(PIDS)
    pids = rng.permutation(largest)[: sum(groups)] + 1
    bounds = np.cumsum([0, *groups])
    return [sorted(int(p) for p in pids[a:b]) for a, b in itertools.pairwise(bounds)]


def visited(network: Network, index: int) -> npt.NDArray[np.int64]:
    """The cameras (from 1) that saw a person, sorted."""
    rng, config = network.rng(VISITS, index), network.config
    cameras = CAMERAS[network.name]
    many = int(rng.integers(config.min_cameras, config.max_cameras + 1))
    return np.sort(rng.permutation(cameras)[:many] + 1)
