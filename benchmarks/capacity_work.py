"""What one job of a profile computes and holds: operations, memory and bytes, counted, not run.

Steps are the stages' own `Training.step`s on the meta device (shapes without contents), under
torch's operation counter and hooks on what autograd keeps for the backward pass. What runs over
pictures is multiplied out from the parameters. Rates of processor work are measured ones
(docs/measurements.md).
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.capacity_shares import HELD, MASKS_A_SECOND, SHARES, THREAD_FLOPS
from crgan.common.settings import settings_from
from crgan.data.counts import PUBLISHED
from crgan.data.store import Split
from crgan.gan import crgan, cyclegan, m2mgan, ptgan, spgan, stargan
from crgan.gan.base import Task
from crgan.gan.pairs import Pairs
from crgan.nets.camera import CameraNet
from crgan.nets.reid import ReidNet
from crgan.pipeline.params import slice_of

DESCRIBED_A_SECOND = 680.0  # LOMO, one thread; BoW is near
UMDL_SECONDS = 540.0
PREPARED_A_SECOND = 2000.0
ANY_JOB_SECONDS = 30.0  # Python, torch, CUDA, reading and writing
TRANSLATORS: dict[str, Any] = {"ptgan": ptgan, "spgan": spgan, "m2mgan": m2mgan}


@dataclass(frozen=True)
class Count:
    """Operations of a step, bytes of activations kept at its peak, bytes of all that learns."""

    flops: float
    activations: float
    weights: float

    @property
    def memory(self) -> float:
        """Weights, gradients and two moments of Adam, and the activations; float32."""
        return 4 * self.weights + self.activations


class _Kept:
    """Bytes that autograd keeps, at their peak; a storage counts once, parameters not at all."""

    def __init__(self, *nets: nn.Module) -> None:
        self.own = {p.untyped_storage()._cdata for net in nets for p in net.parameters()}
        self.uses: dict[int, int] = {}
        self.now = self.peak = 0.0

    def pack(self, tensor: torch.Tensor) -> Any:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        holder = _Holder(tensor)
        if key not in self.own:
            if not self.uses.get(key):
                self.now += size
                self.peak = max(self.peak, self.now)
            self.uses[key] = self.uses.get(key, 0) + 1
            weakref.finalize(holder, self._release, key, size)
        return holder

    def _release(self, key: int, size: float) -> None:
        self.uses[key] -= 1
        if not self.uses[key]:
            self.now -= size


@contextlib.contextmanager
def _shapes_alone() -> Iterator[None]:
    """All tensors made within are shapes without contents, and stay so; nothing is learnt."""
    begin = torch.optim.Adam.__init__

    def plain(self: torch.optim.Adam, *args: Any, fused: bool = False, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)  # the fused kernel knows no such device

    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.device("meta"))
        for owner, name, instead in (
            (nn.Module, "to", lambda net, *_, **__: net),
            (torch.optim.Adam, "__init__", plain),
            (torch.optim.Adam, "step", lambda *_: None),
        ):
            stack.enter_context(mock.patch.object(owner, name, instead))
        yield


class _Holder:
    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


class _NoModules:
    """In place of the counter's book on modules, whose hooks refuse a gradient of a gradient."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def counted(step: Callable[[], object], *nets: nn.Module) -> Count:
    """Count one step, which runs on shapes alone."""
    kept = _Kept(*nets)
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _NoModules()
    with (
        counter,
        torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda holder: holder.tensor),
    ):  # fmt: skip
        step()
    weights = sum(p.numel() * p.element_size() for net in nets for p in net.parameters())
    return Count(counter.get_total_flops(), kept.peak, weights)


@dataclass
class Work:
    """One job's share of the machine.

    Attributes:
        flops: on the GPU.
        cpu: seconds of one core beside it, which more cores shorten.
        memory: bytes on the GPU.
        serial: seconds of one core that more of them do not shorten.
    """

    flops: float = 0.0
    cpu: float = 0.0
    memory: float = 0.0
    serial: float = 0.0


@dataclass
class Counts:
    """What a profile's jobs cost; every network is counted once.

    Args:
        params: all parameters; `profile` names the scale.
        known: what was counted before with the same scale.
    """

    params: Mapping[str, Any]
    known: dict[Any, Count] = field(default_factory=dict)

    def section(self, stage: str, **cell: str) -> dict[str, Any]:
        """The stage's slice of the parameters."""
        return slice_of(stage, dict(self.params), **cell)

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.section("pretrain_cam")["image"]["train"]
        return height, width

    def pictures(self, dataset: str, *splits: str) -> int:
        """Published numbers of pictures of a data set's splits, all by default."""
        protocol = self.params["data"][dataset].get("protocol")
        found = PUBLISHED[f"{dataset}/{protocol}" if protocol else dataset]
        return sum(c.images for name, c in found.items() if not splits or name in splits)

    def people(self, dataset: str) -> int:
        protocol = self.params["data"][dataset].get("protocol")
        return PUBLISHED[f"{dataset}/{protocol}" if protocol else dataset]["train"].ids

    def cameras(self, dataset: str) -> int:
        protocol = self.params["data"][dataset].get("protocol")
        return len(PUBLISHED[f"{dataset}/{protocol}" if protocol else dataset]["train"].cameras)

    # -- steps, counted -----------------------------------------------------------------------

    def once(self, key: Any, count: Callable[[], Count]) -> Count:
        """Count a thing the first time it is asked for."""
        if key not in self.known:
            with _shapes_alone():
                self.known[key] = count()
        return self.known[key]

    def reid(self, batch: int, classes: int = 751) -> Count:
        """Forward and backward of the re-id CNN."""

        def count() -> Count:
            cnn = self.section("pretrain_id")["cnn"]
            net = ReidNet(cnn["backbone"], cnn["width"], classes, cnn.get("last_stride", 2))
            x, y = torch.randn(batch, 3, *self.size), torch.zeros(batch, dtype=torch.int64)
            return counted(
                lambda: F.cross_entropy(net.classifier(net.features(x)), y).backward(), net
            )

        return self.once(("reid", batch, classes), count)

    def look(self, name: str = "reid") -> float:
        """Operations of one picture's forward pass through the CNN, or CR-GAN's G."""

        def count() -> Count:
            x = torch.randn(1, 3, *self.size)
            with torch.no_grad():
                if name == "reid":
                    cnn = self.section("pretrain_id")["cnn"]
                    net: nn.Module = ReidNet(cnn["backbone"], cnn["width"], 751)
                    return counted(lambda: net.features(x), net)
                g, mask = self._crgan().g, torch.ones(1, 1, *self.size)
                return counted(lambda: g(x, x, mask), g)

        return self.once(("look", name), count).flops

    def _crgan(self) -> crgan.Training:
        section = self.section("train_gan", method="crgan")
        cnn = self.section("pretrain_id")["cnn"]
        cam = self.section("pretrain_cam")["pretrain_cam"]
        return crgan.Training(
            settings_from(crgan.Options, section["gan"], "gan"),
            settings_from(crgan.Weights, section["loss"], "loss"),
            ReidNet(cnn["backbone"], cnn["width"], 751), CameraNet(cam["width"], 8), "cpu",
        )  # fmt: skip

    def pairs(self, batch: int) -> Pairs:
        """A mini-batch."""
        x, m = torch.randn(batch, 3, *self.size), torch.ones(batch, 1, *self.size)
        y = torch.zeros(batch, dtype=torch.int64)
        return Pairs(x, x, m, m, y, y)

    def gan(self, late: bool) -> Count:
        """CR-GAN's iteration, of the first or the second half."""

        def count() -> Count:
            training = self._crgan()
            o = training.options
            t = o.iterations - 1 if late else 0
            nets = (training.g, training.d_d, training.d_id, training.d_cam)
            return counted(lambda: training.step(t, self.pairs(o.batch)), *nets)

        return self.once(("crgan", late), count)

    def translator(self, model: str) -> Count:
        """An iteration of one of the CycleGAN family, once all its losses count."""

        def count() -> Count:
            module = TRANSLATORS[model]
            section = self.section("train_translation", method=model, model=model)
            o = settings_from(module.Options, section["translation"], model)
            training: cyclegan.Training = module.Training(o, self._task(), 0, "cpu")
            nets = [
                part
                for n in training.learning()
                if isinstance(part := getattr(training, n), nn.Module)
            ]
            return counted(lambda: training.step(o.iterations - 1, self.pairs(o.batch)), *nets)

        return self.once(model, count)

    def _task(self) -> Task:
        height, width = self.size
        numbers = np.arange(8)
        images = np.zeros((8, height, width, 3), np.uint8)
        masks = np.zeros((8, height, width), np.bool_)
        split = Split(images, numbers, numbers, numbers)
        return Task(split, split, masks, masks, height, width)

    def stargan(self, late: bool) -> Count:
        """HHL's StarGAN: D alone, or D and then G."""

        def count() -> Count:
            section = self.section("adapt", method="hhl", model="hhl")["adaptation"]
            rest = {k[8:]: v for k, v in section.items() if k.startswith("stargan_")}
            o = settings_from(stargan.Options, rest, "stargan")
            training = stargan.Training(o, 8, self.size, "cpu")
            t = o.n_critic - 1 if late else 0
            return counted(lambda: training.step(t, self.pairs(o.batch)), training.g, training.d)

        return self.once(("stargan", late), count)

    # -- jobs ---------------------------------------------------------------------------------

    def work(self, program: str, cell: Mapping[str, str]) -> Work:
        """What a job computes.

        Args:
            program: its stage.
            cell: the command line's --method, --model, --source, --target, --a, --b, --dataset.
        """
        by_name = getattr(self, f"_{program}", None)
        return by_name(cell) if by_name else Work()

    def _train_reid(self, pictures: float, batch: int) -> Work:
        count = self.reid(batch)
        return Work(pictures * count.flops / batch, 0.0, count.memory)

    def _prepare_data(self, cell: Mapping[str, str]) -> Work:
        return Work(cpu=self.pictures(cell["dataset"]) / PREPARED_A_SECOND)

    def _extract_masks(self, cell: Mapping[str, str]) -> Work:
        splits = self.section("extract_masks", dataset=cell["dataset"])["masks"]["splits"]
        return Work(cpu=self.pictures(cell["dataset"], *splits) / MASKS_A_SECOND)

    def _pretrain_id(self, cell: Mapping[str, str]) -> Work:
        s = self.section("pretrain_id")["pretrain_id"]
        return self._train_reid(s["iterations"] * s["batch"], s["batch"])

    def _pretrain_cam(self, cell: Mapping[str, str]) -> Work:
        return Work()  # a net of three layers: seconds

    def _train_gan(self, cell: Mapping[str, str]) -> Work:
        iterations = self.section("train_gan", method="crgan")["gan"]["iterations"]
        first, second = self.gan(False), self.gan(True)
        return Work(iterations / 2 * (first.flops + second.flops), 0.0, second.memory)

    def _train_translation(self, cell: Mapping[str, str]) -> Work:
        model = cell["model"]
        section = self.section("train_translation", method=model, model=model)["translation"]
        count = self.translator(model)
        return Work(section["iterations"] * count.flops, 0.0, count.memory)

    def _render_set(self, cell: Mapping[str, str]) -> Work:
        copies = self.params["render_set"]["copies"] if cell["model"] == "crgan" else 1
        return Work(copies * self.pictures(cell["source"], "train") * self.look("crgan"))

    def _finetune(self, cell: Mapping[str, str]) -> Work:
        s = self.section("finetune", method=cell["method"])["finetune"]
        pictures = s["iterations"] * s["batch"]
        work = self._train_reid(pictures, s["batch"])
        if "gan" in cell:  # rendered on the fly
            work.flops += pictures * self.look("crgan")
        return work

    def _evaluate(self, cell: Mapping[str, str]) -> Work:
        n = self.pictures(cell["target"], "query", "gallery")
        cpu = 2 * n**2 * 2048 / THREAD_FLOPS  # re-ranking: everyone's neighbours
        return Work(0 if "features" in cell else n * self.look(), cpu)

    def _measure_images(self, cell: Mapping[str, str]) -> Work:
        s = self.section("measure_images")["visual"]
        return Work(s["pictures"] * self.look("crgan"), 600.0)

    def _train_judges(self, cell: Mapping[str, str]) -> Work:
        return self._pretrain_id(cell)

    def _judge_images(self, cell: Mapping[str, str]) -> Work:
        s = self.section("judge_images")["judges"]
        renderings = s["pictures"] * s["renderings"]
        return Work(renderings * (self.look("crgan") + self.look()), 60.0)

    def _handcraft(self, cell: Mapping[str, str]) -> Work:
        n = self.pictures(cell["target"]) + self.pictures(cell["source"], "train")
        return Work(cpu=n / DESCRIBED_A_SECOND + (UMDL_SECONDS if cell["model"] == "umdl" else 0))

    def _adapt(self, cell: Mapping[str, str]) -> Work:
        model = cell["model"]
        if model == "direct_transfer":
            return Work()
        s = self.section("adapt", method=cell["method"], model=model)["adaptation"]
        n = self.pictures(cell["target"], "train")
        trained, looked, serial = SHARES[model](s, n)
        work = self._train_reid(trained, HELD[model](s) if model in HELD else s["batch"])
        work.flops += looked * self.look()
        work.serial += serial
        if model == "hhl":
            early, late = self.stargan(False), self.stargan(True)
            each = late.flops / s["stargan_n_critic"] + early.flops * (
                1 - 1 / s["stargan_n_critic"]
            )
            work.flops += s["stargan_iterations"] * each
            work.memory = max(work.memory, late.memory)
        return work
