"""The three on-disk layouts: file names, splits, label files."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from crgan.synth.camera import Camera, build_camera
from crgan.synth.identity import Identity
from crgan.synth.matlab import Mat73Writer, save_mat5, text_cells
from crgan.synth.network import (
    CAMERAS,
    EXTRAS,
    PIDS,
    Network,
    jpeg_round_trip,
    name_people,
    visited,
)
from crgan.synth.shoot import Pixels

_MARKET_UPPER = ("black", "white", "red", "purple", "yellow", "gray", "blue", "green")
_MARKET_LOWER = (
    "black", "white", "pink", "purple", "yellow", "gray", "blue", "green", "brown",
)  # fmt: skip
_DUKE_UPPER = ("black", "white", "red", "purple", "gray", "blue", "green", "brown")
_DUKE_LOWER = ("black", "white", "red", "gray", "blue", "green", "brown")
# The real files order their fields differently in the two parts; so do these.
MARKET_TEST_FIELDS = (
    "age", "backpack", "bag", "handbag", "clothes", "down", "up", "hair", "hat", "gender",
    *(f"up{name}" for name in _MARKET_UPPER), *(f"down{name}" for name in _MARKET_LOWER),
)  # fmt: skip
MARKET_TRAIN_FIELDS = (
    "age", "backpack", "bag", "handbag", *sorted(f"down{name}" for name in _MARKET_LOWER),
    *sorted(f"up{name}" for name in _MARKET_UPPER),
    "clothes", "down", "up", "hair", "hat", "gender",
)  # fmt: skip
DUKE_TRAIN_FIELDS = (
    "backpack", "bag", "handbag", "boots", "gender", "hat", "shoes", "top",
    *(f"down{name}" for name in _DUKE_LOWER), *(f"up{name}" for name in _DUKE_UPPER),
)  # fmt: skip
DUKE_TEST_FIELDS = (
    "boots", "shoes", "top", "gender", "hat", "backpack", "bag", "handbag",
    *(f"down{name}" for name in _DUKE_LOWER), *(f"up{name}" for name in _DUKE_UPPER),
)  # fmt: skip
_PAIR_SHARES = (843, 440, 77, 58, 49)  # CUHK03's persons per camera pair
_VIEW_SLOTS = 5


def _attribute_part(people: dict[int, Identity], fields: tuple[str, ...]) -> dict[str, Any]:
    labels = [people[pid].attributes() for pid in sorted(people)]
    part: dict[str, Any] = {
        field: np.array([[label[field] for label in labels]], np.uint8) for field in fields
    }
    part["image_index"] = text_cells([f"{pid:04d}" for pid in sorted(people)], column=False)
    return part


class _Frames:
    """Frame numbers that rise per camera, so that every file name is new."""

    def __init__(self, first: int, step: int) -> None:
        self._next: dict[int, int] = {}
        self._first, self._step = first, step

    def take(self, camera: int) -> int:
        frame = self._next.get(camera, self._first * camera)
        self._next[camera] = frame + self._step
        return frame


def _market_name(pid: int, camera: int, frame: int, box: int) -> str:
    person = "-1" if pid < 0 else f"{pid:04d}"
    return f"{person}_c{camera}s{1 + frame // 20000}_{frame:06d}_{box:02d}.jpg"


def _cameras(network: Network) -> dict[int, Camera]:
    numbers = range(1, CAMERAS[network.name] + 1)
    return {number: build_camera(network.name, number, network.config) for number in numbers}


def write_market1501(network: Network) -> None:
    """Market-1501: train, test with junk "-1" and distractors "0000", query, attributes."""
    config, cameras = network.config, _cameras(network)
    train, test = name_people(network, 1501, (config.train_ids, config.test_ids))
    frames = _Frames(151, 25)
    people: dict[int, Identity] = {}
    for index, pid in enumerate([*train, *test]):
        people[pid] = network.person(index)
        for camera in visited(network, index):
            for image in range(config.images_per_camera):
                query = pid in test and image == 0
                folder = "bounding_box_train" if pid in train else "bounding_box_test"
                name = _market_name(pid, camera, frames.take(camera), 0 if query else 1 + image)
                shot = network.image(
                    cameras[camera], people[pid], (index, camera, image), "detected"
                )
                network.save(f"{'query' if query else folder}/{name}", cameras[camera], *shot)
    first_extra = len(people)
    for index in range(config.junk_images + config.distractor_images):
        junk = index < config.junk_images
        rng = network.rng(EXTRAS, index)
        camera = int(rng.integers(1, len(cameras) + 1))
        nobody = not junk and rng.random() < 0.3  # the detector fired on the background
        known = int(rng.integers(config.train_ids, len(people)))
        who = None if nobody else network.person(known if junk else first_extra + index)
        moment = (first_extra + index, camera, 0)
        shot = network.image(cameras[camera], who, moment, "junk" if junk else "detected")
        name = _market_name(-1 if junk else 0, camera, frames.take(camera), 1)
        network.save(f"bounding_box_test/{name}", cameras[camera], *shot)
    parts = {
        "test": _attribute_part({pid: people[pid] for pid in test}, MARKET_TEST_FIELDS),
        "train": _attribute_part({pid: people[pid] for pid in train}, MARKET_TRAIN_FIELDS),
    }
    (network.root / "attribute").mkdir()
    save_mat5(network.root / "attribute" / "market_attribute.mat", {"market_attribute": parts})


def write_dukemtmc(network: Network) -> None:
    """DukeMTMC-reID: train, test with extra identities, query, attributes."""
    config, cameras = network.config, _cameras(network)
    groups = (config.train_ids, config.test_ids, config.distractor_ids)
    train, test, extra = name_people(network, 7140, groups)
    frames = _Frames(5985, 120)
    people: dict[int, Identity] = {}
    for index, pid in enumerate([*train, *test, *extra]):
        people[pid] = network.person(index)
        seen = visited(network, index)
        for camera in seen[:1] if pid in extra else seen:
            for image in range(config.images_per_camera):
                folder = "bounding_box_train" if pid in train else "bounding_box_test"
                if pid in test and image == 0:
                    folder = "query"
                name = f"{pid:04d}_c{camera}_f{frames.take(camera):07d}.jpg"
                shot = network.image(
                    cameras[camera], people[pid], (index, camera, image), "detected"
                )
                network.save(f"{folder}/{name}", cameras[camera], *shot)
    gallery = {pid: people[pid] for pid in [*test, *extra]}
    parts = {
        "train": _attribute_part({pid: people[pid] for pid in train}, DUKE_TRAIN_FIELDS),
        "test": _attribute_part(gallery, DUKE_TEST_FIELDS),
    }
    (network.root / "attribute").mkdir()
    save_mat5(network.root / "attribute" / "duke_attribute.mat", {"duke_attribute": parts})


def _pair_sizes(people: int) -> list[int]:
    """People per camera pair, in the real proportions; every pair has at least one."""
    sizes = [1] * len(_PAIR_SHARES)
    for _ in range(people - len(sizes)):
        short = [share / (size + 0.5) for share, size in zip(_PAIR_SHARES, sizes, strict=True)]
        sizes[int(np.argmax(short))] += 1
    return sizes


def write_cuhk03(network: Network) -> None:
    """CUHK03: `cuhk-03.mat` (detected, labeled, testsets) and the new protocol's file."""
    config = network.config
    sizes = _pair_sizes(config.cuhk03_ids)
    files: list[tuple[str, int, int]] = []  # name, label, view of every detected image
    with Mat73Writer(network.root / "cuhk-03.mat") as writer:
        pairs: dict[str, list[h5py.Reference]] = {"detected": [], "labeled": []}
        index = 0
        for pair, size in enumerate(sizes, start=1):
            rows: dict[str, list[list[h5py.Reference]]] = {kind: [] for kind in pairs}
            cameras = [build_camera("cuhk03", 2 * pair - 1 + view, config) for view in range(2)]
            for person in range(1, size + 1):
                shots = _cuhk03_person(network, cameras, index, (pair, person))
                index += 1
                for kind in pairs:
                    rows[kind].append(
                        [writer.image(shots[kind][s]) if s in shots[kind] else writer.empty
                         for s in range(2 * _VIEW_SLOTS)]
                    )  # fmt: skip
                for slot in sorted(shots["detected"]):
                    name = _cuhk03_name(pair, person, slot)
                    files.append((name, index, 1 + slot // _VIEW_SLOTS))
            for kind, references in pairs.items():
                references.append(writer.cell(rows[kind]))
        for kind, references in pairs.items():
            writer.variable(kind, [references])
        writer.variable("testsets", [_testsets(network, writer, sizes)])
    _write_protocol(network, files)


def _cuhk03_name(pair: int, person: int, slot: int) -> str:
    return f"{pair}_{person:03d}_{1 + slot // _VIEW_SLOTS}_{slot + 1:02d}.png"


def _cuhk03_person(
    network: Network, cameras: list[Camera], index: int, where: tuple[int, int]
) -> dict[str, dict[int, Pixels]]:
    """A person's images by kind and slot (0-4 first view, 5-9 second); masks are noted."""
    who = network.person(index)
    shots: dict[str, dict[int, Pixels]] = {"detected": {}, "labeled": {}}
    for view, camera in enumerate(cameras):
        fewer = int(network.rng(EXTRAS, index, view).random() < 0.3)
        for image in range(max(network.config.images_per_view - fewer, 2)):
            slot = view * _VIEW_SLOTS + image
            for kind, quality in (("detected", "detected"), ("labeled", "aligned")):
                moment = (index, 2 * where[0] + view, image)
                crop, mask = network.image(camera, who, moment, quality)
                shots[kind][slot] = jpeg_round_trip(crop, camera.quality)
                network.masks[f"{kind}/{_cuhk03_name(*where, slot)}"] = mask
                network.counts[kind] = network.counts.get(kind, 0) + 1
    return shots


def _testsets(network: Network, writer: Mat73Writer, sizes: list[int]) -> list[h5py.Reference]:
    """The old protocol's 20 random test sets of (pair, person), stored (2, people)."""
    everyone = [(pair, p) for pair, size in enumerate(sizes, 1) for p in range(1, size + 1)]
    sets = []
    for split in range(20):
        order = network.rng(EXTRAS, 1_000_000, split).permutation(len(everyone))
        chosen = sorted(int(k) for k in order[: max(len(everyone) // 10, 1)])
        table = np.array([everyone[k] for k in chosen], float)
        sets.append(writer.array(np.ascontiguousarray(table.T), "double"))
    return sets


def _write_protocol(network: Network, files: list[tuple[str, int, int]]) -> None:
    """`cuhk03_new_protocol_config_detected.mat`: 1-based row numbers of train, query, gallery."""
    config = network.config
    order = network.rng(PIDS).permutation(config.cuhk03_ids) + 1
    test = {int(label) for label in order[: config.cuhk03_test_ids]}
    train, query, gallery = [], [], []
    asked: set[tuple[int, int]] = set()
    for row, (_, label, view) in enumerate(files, start=1):
        if label not in test:
            train.append(row)
        elif (label, view) in asked:
            gallery.append(row)
        else:
            asked.add((label, view))
            query.append(row)
    columns = {"train_idx": train, "query_idx": query, "gallery_idx": gallery}
    save_mat5(
        network.root / "cuhk03_new_protocol_config_detected.mat",
        {
            "camId": np.array([[view] for _, _, view in files], np.uint8),
            "filelist": text_cells([name for name, _, _ in files], column=True),
            "labels": np.array([[label] for _, label, _ in files], np.uint16),
            **{key: np.array(rows, np.uint16).reshape(-1, 1) for key, rows in columns.items()},
        },
    )
