"""A re-id file whose features differ between images, and a site of generated crops."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from crgan.common.io import save_torch
from crgan.nets.reid import ReidNet
from crgan.reid.model_file import reid_file

SIZE = (64, 32)


def crops(count: int, seed: int = 0, size: tuple[int, int] = (80, 36)) -> NDArray[np.uint8]:
    """Images of two colours each, uint8 (count, H, W, 3)."""
    rng = np.random.default_rng(seed)
    made = rng.normal(0, 12, (count, *size, 3))
    made[:, : size[0] // 2] += rng.uniform(20, 235, (count, 1, 1, 3))
    made[:, size[0] // 2 :] += rng.uniform(20, 235, (count, 1, 1, 3))
    return made.clip(0, 255).astype(np.uint8)


def write_crop(path: Path, image: NDArray[np.uint8]) -> Path:
    """An image file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(path.suffix, image[:, :, ::-1])
    assert done
    path.write_bytes(data.tobytes())
    return path


def site(root: Path, cameras: dict[str, int], seed: int = 0) -> Path:
    """`<root>/<camera>/0000.jpg`, as many a camera as said."""
    for place, (camera, count) in enumerate(cameras.items()):
        for i, image in enumerate(crops(count, seed + place)):
            write_crop(root / camera / f"{i:04}.jpg", image)
    return root


def trained(path: Path, backbone: str = "small", width: int = 6, **how: object) -> Path:
    """A re-id file of random weights, with batch norm's statistics of generated crops."""
    torch.manual_seed(0)
    net = ReidNet(backbone, width, 4, **how)  # type: ignore[arg-type]
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.momentum = 1.0
    images = torch.from_numpy(crops(16, 9, SIZE)).permute(0, 3, 1, 2) * (2 / 255) - 1
    with torch.no_grad():
        net.train()(images)
    save_torch(path, reid_file(net.eval(), [3, 5, 8, 9], SIZE, "none", ["a note"]))
    return path
