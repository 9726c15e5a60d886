"""Beyond the paper: what renderings keep, where they seem to come from, and how they vary.

Two judges that no GAN has seen are trained on unrendered images alone: of the source's
identities, and of the cameras of both data sets together. Of a method's renderings they say

- identity: share taken for their own pid (unrendered images beside it);
- domain: share taken for an image of any of the target's cameras;
- camera: share taken for the very camera a method rendered for, where it names one;

and the mean LPIPS among several renderings of one image is their diversity. D_id and D_cam would
be partial: CR-GAN was trained to please them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.settings import Count, Natural, Pair
from crgan.data.batches import from_gan, to_gan
from crgan.data.store import Split
from crgan.gan.base import Classifier, Renderer, Task
from crgan.metrics.lpips_distance import LpipsNet, diversity
from crgan.pipeline.progress import bar_range
from crgan.reid.model_file import build_camera, build_reid
from crgan.reid.pretrain import Start, pretrain_cam, pretrain_id
from crgan.train.checkpoint import Checkpoint
from crgan.train.classifier import Recipe
from crgan.train.compute import PLAIN, Compute

_BATCH = 32
_TARGET = 1000  # added to the target's camids, so that the cameras of both sets are told apart

Percent = dict[str, float | None]


@dataclass(frozen=True)
class Settings:
    """Section `judges` of the parameters.

    Attributes:
        seed: of the judges and of what is random in the renderings.
        images: source images rendered; all, where there are fewer.
        renderings: of each of them.
    """

    seed: Natural
    images: Count
    renderings: Pair


def train_judges(
    source: Split,
    target: Split,
    start: Start,
    id_recipe: Recipe,
    camera_width: int,
    camera_recipe: Recipe,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    compute: Compute = PLAIN,
) -> dict[str, Any]:
    """A file with both judges, trained on the training splits as D_id and D_cam are."""
    parts = [checkpoint.part(name) if checkpoint else None for name in ("id", "camera")]
    identity, _ = pretrain_id(
        source, start, id_recipe, seed=seed, checkpoint=parts[0], compute=compute
    )
    both = Split(
        np.concatenate((source.images, target.images)),
        np.concatenate((source.pid, target.pid)),
        np.concatenate((source.camid, target.camid + _TARGET)),
        np.arange(len(source) + len(target)),
    )
    camera, _ = pretrain_cam(
        both, camera_width, camera_recipe, seed=seed, checkpoint=parts[1], compute=compute
    )
    return {"kind": "judges", "identity": identity, "camera": camera}


class Judges:
    """The judges of a file, at work.

    Raises:
        UserError: another kind of file.
    """

    def __init__(self, file: Mapping[str, Any], name: str, device: str) -> None:
        if file.get("kind") != "judges":
            raise UserError(f"{name}: kind is {file.get('kind')!r}, a 'judges' file is needed here")
        identity, camera = file["identity"], file["camera"]
        self._identity = Classifier(
            build_reid(identity, name).to(device).eval(), tuple(identity["pids"]), name
        )
        self._camera = Classifier(
            build_camera(camera, name).to(device).eval(), tuple(camera["camids"]), name
        )
        self._device = device

    @torch.no_grad()
    def pids(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The pid each image (n, H, W, 3) is taken for."""
        return self._taken_for(self._identity, images)

    @torch.no_grad()
    def cameras(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The camera each image is taken for: a camid of the source, or -camid of the target."""
        taken = self._taken_for(self._camera, images)
        return np.where(taken > _TARGET, _TARGET - taken, taken)

    def _taken_for(self, judge: Classifier, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        found = [
            judge.net(to_gan(images[i : i + _BATCH]).to(self._device)).argmax(1).cpu().numpy()
            for i in range(0, len(images), _BATCH)
        ]
        return np.array(judge.classes)[np.concatenate(found)]


def judge(
    task: Task,
    renderer: Renderer,
    judges: Judges,
    lpips: LpipsNet,
    settings: Settings,
    device: str,
) -> dict[str, Any]:
    """Shares in percent, diversity, and under `reference` those of the unrendered images."""
    rng = np.random.default_rng(settings.seed)
    known = np.flatnonzero(task.source.pid > 0)
    rows = np.sort(rng.choice(known, size=min(len(known), settings.images), replace=False))
    x_s, pid = task.source.images[rows], task.source.pid[rows]
    many, meant = _render(renderer, x_s, rows, settings.renderings, rng, device)
    per_rendering = [
        shares(judges.pids(images), pid, judges.cameras(images), camids)
        for images, camids in zip(many, meant, strict=True)
    ]
    found = {
        key: [value for one in per_rendering if (value := one[key]) is not None]
        for key in ("identity", "domain", "camera")
    }
    values = {key: float(np.mean(means)) if means else None for key, means in found.items()}
    return {
        **values,
        "diversity": float(diversity(lpips, np.stack(many, axis=1)).mean()),
        "reference": shares(judges.pids(x_s), pid, judges.cameras(x_s), None),
        "settings": {"images": len(rows), "renderings": settings.renderings,
                     "seed": settings.seed, "height": task.height, "width": task.width},
    }  # fmt: skip


def shares(
    pids: NDArray[np.int64],
    pid: NDArray[np.int64],
    cameras: NDArray[np.int64],
    meant: NDArray[np.int64] | None,
) -> Percent:
    """Percent of images taken for their own pid, for the target's, for the camera meant.

    Args:
        pids: what they are taken for; pid: what they are.
        cameras: what they are taken for, the target's negative (`Judges.cameras`).
        meant: the target's camids they were rendered for; None gives None.
    """
    return {
        "identity": 100 * float((pids == pid).mean()),
        "domain": 100 * float((cameras < 0).mean()),
        "camera": None if meant is None else 100 * float((cameras == -meant).mean()),
    }


def _render(
    renderer: Renderer,
    x_s: NDArray[np.uint8],
    rows: NDArray[np.int64],
    renderings: int,
    rng: np.random.Generator,
    device: str,
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.int64] | None]]:
    """Several renderings of all images, each with the camids it is meant for."""
    images, meant = [], []
    for _ in range(renderings):
        done, camids = [], []
        for i in bar_range(0, len(x_s), _BATCH, desc="rendering", unit="batch", images=_BATCH):
            x = to_gan(x_s[i : i + _BATCH]).to(device)
            x_g, c = renderer.render_to(x, rows[i : i + _BATCH], rng)
            done.append(from_gan(x_g))
            camids.append(c)
        images.append(np.concatenate(done))
        named = [c for c in camids if c is not None]
        meant.append(np.concatenate(named) if named else None)
    return images, meant
