"""What does the identity loss hold back? CR-GAN under other judges of identity.

    python -m benchmarks.identity_loss --source market1501 --target dukemtmc
    python -m benchmarks.identity_loss --judges recorded --iterations 4  # another length of the GAN
    python -m benchmarks.identity_loss --profile study --judges swapped --target campus

L_id (eq. 7) asks a frozen D_id who the rendered person is. The judges:

    recorded   D_id as the pipeline pre-trained it, on the source's images as they are
    shaken     the same network and recipe, on the source's images and copies of them whose
               colours were changed at random: a D_id that knows people in other light
    swapped    the same on the source's images and copies whose people stand before the backgrounds
               of other source images: a D_id that cannot know people by where they were filmed
    none       lambda_id = 0

Everything else is equal: the CNN that is fine-tuned starts from the recorded D_id, with the seed
and parameters of the profile. Printed for each judge: how many source people it knows in the
training images and in cut-outs (the source person by its mask on a target background: what a
rendering without any repainting would be), how far X_G lies from X_S on people and on backgrounds
(grey levels), and the re-id scores. The scores use the target's test labels: this explains a
result, and chooses nothing.

Reads what `snakemake results/table2.csv` left in artifacts/; writes nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crgan.common.io import load_torch
from crgan.common.seeding import seed_everything
from crgan.data.store import Split, open_dataset
from crgan.gan import crgan
from crgan.gan.base import Classifier, Task, open_task
from crgan.gan.pairs import masked_images
from crgan.pipeline import params as parameters
from crgan.reid.evaluate import protocol_from, query_and_gallery, score
from crgan.reid.finetune import FineTuning, finetune
from crgan.reid.model_file import build_camera, build_reid
from crgan.reid.pretrain import id_recipe, pretrain_id, start_from

JUDGES = ("recorded", "shaken", "swapped", "none")
COPIES = 3  # changed copies of each image, beside the image itself
_PAIRS = 512  # that colours and judges are measured on
_BATCH = 64


def shaken(split: Split, copies: int, rng: np.random.Generator) -> Split:
    """A split and `copies` of each image with a random gain and gamma a channel.

    Gains are 0.6 to 1.4, gammas 0.7 to 1.4, both drawn for each image.
    """
    images = [np.asarray(split.images)]
    n = len(split)
    for _ in range(copies):
        gain = rng.uniform(0.6, 1.4, (n, 1, 1, 3)).astype(np.float32)
        gamma = rng.uniform(0.7, 1.4, (n, 1, 1, 3)).astype(np.float32)
        changed = gain * (images[0] / np.float32(255)) ** gamma
        images.append((changed.clip(0, 1) * 255).round().astype(np.uint8))
    return _beside(split, images)


def swapped(split: Split, masks: Any, copies: int, rng: np.random.Generator) -> Split:
    """A split and `copies` of each image with its person before another image's background.

    Where the other image's person stood, and this one does not, is its background's mean colour.

    Args:
        masks: of the split's images by their number in it: bool (B, H, W), true on the person.
    """
    images = [np.asarray(split.images)]
    person = np.asarray(masks[np.arange(len(split))], bool)[..., None]
    area = np.maximum((~person).sum((1, 2)), 1)
    mean = (images[0] * ~person).sum((1, 2)) / area  # (n, 3)
    grounds = np.where(person, mean[:, None, None].astype(np.uint8), images[0])
    for _ in range(copies):
        images.append(np.where(person, images[0], grounds[rng.permutation(len(split))]))
    return _beside(split, images)


def _beside(split: Split, images: list[NDArray[np.uint8]]) -> Split:
    """The split with images one set after another, each with the split's labels."""
    times = len(images)
    return replace(
        split,
        images=np.concatenate(images),
        pid=np.tile(split.pid, times),
        camid=np.tile(split.camid, times),
        rows=np.tile(split.rows, times),
        attributes={},
    )


@dataclass(frozen=True)
class Setting:
    """What the experiment works on: the parameters' slices, the pair of domains, its judges."""

    train: dict[str, Any]
    pretrain: dict[str, Any]
    finetune: dict[str, Any]
    evaluate: dict[str, Any]
    task: Task
    weights: Path
    d_id: dict[str, Any]
    d_cam: dict[str, Any]
    target: Path
    seed: int


def opened(args: argparse.Namespace) -> Setting:
    """Read the artifacts of a run."""
    params = parameters.load()
    params["profile"] = args.profile
    home = Path("artifacts") / args.profile
    train, pretrain, tune, evaluate = (
        parameters.slice_of(stage, params, method="crgan")
        for stage in ("train_gan", "pretrain_id", "finetune", "evaluate")
    )
    if args.iterations:
        train["gan"]["iterations"] = args.iterations
    source, target = (home / "data" / name / "manifest.csv" for name in (args.source, args.target))
    m_s, m_t = (home / "masks" / f"{name}.h5" for name in (args.source, args.target))
    return Setting(
        train,
        pretrain,
        tune,
        evaluate,
        task=open_task(source, target, m_s, m_t, train["image"]["train"]),
        weights=home / "weights" / "backbone.pt",
        d_id=load_torch(home / "d_id" / args.source / f"seed{args.seed}.pt"),
        d_cam=load_torch(home / "d_cam" / args.target / f"seed{args.seed}.pt"),
        target=target,
        seed=args.seed,
    )


def judge_of(name: str, setting: Setting) -> dict[str, Any]:
    """The re-id file of the judge."""
    if name not in ("shaken", "swapped"):
        return setting.d_id
    rng = np.random.default_rng(setting.seed)
    section, source = setting.pretrain, setting.task.source
    masks = setting.task.source_masks
    changed = (
        shaken(source, COPIES, rng) if name == "shaken" else swapped(source, masks, COPIES, rng)
    )
    file, _ = pretrain_id(
        changed,
        start_from(section["cnn"], load_torch(setting.weights), str(setting.weights)),
        id_recipe(section["cnn"], section["pretrain_id"]),
        seed=setting.seed,
    )
    return file


def pairs(task: Task, seed: int) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor, Tensor]]:
    """Batches of source rows with X_S, M_F (the source person's mask) and a random X_T."""
    rng = np.random.default_rng(seed)
    labelled = np.flatnonzero(task.source.pid > 0)
    for _ in range(_PAIRS // _BATCH):
        s, t = rng.choice(labelled, _BATCH), rng.choice(len(task.target), _BATCH)
        x_s, m_f = masked_images(task.source, task.source_masks, s)
        yield s, x_s, m_f, masked_images(task.target, task.target_masks, t)[0]


def known(judge: Classifier, task: Task, seed: int) -> tuple[float, float]:
    """Percent of source people a judge knows, in training images and in cut-outs."""
    net = judge.net.eval()
    right = np.zeros(2)
    with torch.inference_mode():
        for rows, x_s, m_f, x_t in pairs(task, seed):
            y = torch.from_numpy(judge.labels(task.source.pid[rows]))
            for i, x in enumerate((x_s, m_f * x_s + (1 - m_f) * x_t)):
                right[i] += (net(x).argmax(1) == y).sum().item()
    before, after = 100 * right / _PAIRS
    return float(before), float(after)


def moved(renderer: Any, task: Task, seed: int) -> tuple[float, float]:
    """Mean |X_G - X_S| of people and of backgrounds, in grey levels of 255."""
    rng = np.random.default_rng(seed)
    sums = np.zeros((2, 2))
    for rows, x_s, m_f, _ in pairs(task, seed):
        change = (renderer.render(x_s, rows, rng) - x_s).abs() * 127.5
        for i, m in enumerate((m_f, 1 - m_f)):
            sums[i] += (change * m).sum().item(), 3 * m.sum().item()
    person, background = sums[:, 0] / sums[:, 1]
    return float(person), float(background)


def experiment(name: str, setting: Setting) -> dict[str, float]:
    """Train CR-GAN under a judge, fine-tune on its renderings, measure."""
    seed_everything(setting.seed, 1)
    file = judge_of(name, setting)
    judge = Classifier(_frozen(build_reid(file, name)), tuple(file["pids"]), name)
    training, cut_outs = known(judge, setting.task, setting.seed)
    d_cam = Classifier(
        build_camera(setting.d_cam, "D_cam"), tuple(setting.d_cam["camids"]), "D_cam"
    )
    loss = dict(setting.train["loss"], **({"lambda_id": 0.0} if name == "none" else {}))
    gan = setting.train["gan"]
    trained = crgan.train(setting.task, judge, d_cam, loss, gan, seed=setting.seed)
    renderer = crgan.load_renderer(trained.file, setting.task, "cpu")
    person, background = moved(renderer, setting.task, setting.seed)
    plan = FineTuning.from_params(setting.finetune["finetune"])
    tuned, _ = finetune(
        setting.d_id, setting.task.source, renderer, plan, seed=setting.seed, name="D_id"
    )
    data = open_dataset(setting.target, (tuned["height"], tuned["width_px"]))
    protocol = protocol_from(setting.evaluate["evaluate"])
    scores = score(build_reid(tuned, name), *query_and_gallery(data), protocol).by_pooling
    return {
        "knows, training": training,
        "knows, cut-outs": cut_outs,
        "person moved": person,
        "background moved": background,
        "R1": scores["global"].rank1,
        "R1, LMP": scores["lmp"].rank1,
        "mAP": scores["global"].mAP,
    }


def _frozen(net: nn.Module) -> nn.Module:
    return net.eval().requires_grad_(False)


def main(argv: list[str] | None = None) -> None:
    """Run the experiments and print a line a judge."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.identity_loss",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--source", default="market1501")
    parser.add_argument("--target", default="dukemtmc")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--judges", nargs="+", choices=JUDGES, default=list(JUDGES))
    parser.add_argument("--iterations", type=int, help="of the GAN, instead of the profile's")
    args = parser.parse_args(argv)
    setting = opened(args)
    print(f"{args.source} to {args.target}, seed {args.seed}, profile {args.profile}, "
          f"{setting.train['gan']['iterations']} iterations of the GAN")  # fmt: skip
    for place, name in enumerate(args.judges):
        result = experiment(name, setting)
        if not place:
            print(" | ".join(["judge", *result]))
        print(" | ".join([name, *(f"{value:.1f}" for value in result.values())]), flush=True)


if __name__ == "__main__":
    main()
