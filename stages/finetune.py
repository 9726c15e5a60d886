"""Fine-tune D_id on rendered source images: on the fly (Alg. 1, III), or from a stored set.

With a GAN, for which the target and the masks are needed too:

python -m stages.finetune --method crgan --model crgan --source market1501 --target dukemtmc \\
    --seed 0 --source-manifest artifacts/demo/data/market1501/manifest.csv \\
    --target-manifest artifacts/demo/data/dukemtmc/manifest.csv \\
    --source-masks artifacts/demo/masks/market1501.h5 \\
    --target-masks artifacts/demo/masks/dukemtmc.h5 \\
    --d-id artifacts/demo/d_id/market1501/seed0.pt \\
    --gan artifacts/demo/gan/crgan/market1501-dukemtmc/seed0.pt \\
    --out artifacts/demo/finetuned/crgan/market1501-dukemtmc/seed0.pt \\
    --history artifacts/demo/finetuned/crgan/market1501-dukemtmc/seed0.csv

With a set that `stages.render_set` made:

python -m stages.finetune --method spgan --source market1501 --target dukemtmc --seed 0 \\
    --source-manifest artifacts/demo/data/market1501/manifest.csv \\
    --set artifacts/demo/sets/spgan/market1501-dukemtmc/seed0.h5 \\
    --d-id artifacts/demo/d_id/market1501/seed0.pt \\
    --out artifacts/demo/finetuned/spgan/market1501-dukemtmc/seed0.pt \\
    --history artifacts/demo/finetuned/spgan/market1501-dukemtmc/seed0.csv
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from crgan.common.errors import UserError
from crgan.common.io import load_torch, save_torch
from crgan.common.seeding import seed_everything
from crgan.pipeline.stage import Run, StageParser, run_stage

if TYPE_CHECKING:
    from crgan.data.store import Split
    from crgan.gan.base import Renderer

parser = StageParser("finetune", __doc__)
parser.cell("--method", help="entry of `methods` in the parameters")
parser.cell("--model", required=False, help="file of crgan/gan that renders")
parser.cell("--source")
parser.cell("--target")
parser.cell("--seed", type=int)
parser.input("--source-manifest", beside=("images.npy",))
parser.input("--target-manifest", required=False, beside=("images.npy",))
parser.input("--source-masks", required=False)
parser.input("--target-masks", required=False)
parser.input("--d-id", help="the re-id file to start from")
parser.input("--gan", required=False, help="the trained GAN, to render on the fly")
parser.input("--set", required=False, help="a rendered set instead")
parser.output("--out", help="the fine-tuned re-id file")
parser.output("--history", help="loss, rate and training accuracy, CSV")


def body(args: argparse.Namespace, run: Run) -> None:
    """Fine-tune and write."""
    from crgan.reid.finetune import FineTuning, finetune
    from crgan.train.checkpoint import Checkpoint
    from crgan.train.compute import Compute

    seed_everything(run.seed, run.threads)
    compute = Compute.of(run.params["run"], run.device).launch()
    plan = FineTuning.from_params(run.params["finetune"])
    source, renderer, gan_notes = _opened(args, run)
    checkpoint = Checkpoint(run.checkpoint_path, run.checkpoint_seconds)
    file, history = finetune(
        load_torch(args.d_id),
        source,
        renderer,
        plan,
        seed=run.seed,
        name=str(args.d_id),
        checkpoint=checkpoint,
        compute=compute,
    )
    if not run.writes:
        return
    notes = dict.fromkeys([*file["notes"], *gan_notes])  # each once
    save_torch(args.out, {**file, "notes": list(notes)})
    history.write(args.history)
    checkpoint.remove()


def _opened(args: argparse.Namespace, run: Run) -> tuple[Split, Renderer, list[Any]]:
    """The source's training split, what renders it, and what a reader of the result must know."""
    from crgan.data.store import open_dataset
    from crgan.gan.base import load_method, open_task, towards
    from crgan.gan.rendered_set import StoredSet

    size = run.params["image"]["train"]
    if args.set:
        if args.gan or args.model:
            raise UserError("--set is given: leave out --gan and --model, they are for rendering")
        source = open_dataset(args.source_manifest, size).split("train")
        return source, StoredSet(args.set, source, args.source_manifest), []
    needed = ("gan", "model", "target_manifest", "source_masks", "target_masks")
    if missing := [name for name in needed if getattr(args, name) is None]:
        flag = missing[0].replace("_", "-")
        raise UserError(f"--{flag} is missing; to render on the fly all of them are needed")
    task = open_task(
        args.source_manifest, args.target_manifest, args.source_masks, args.target_masks, size
    )
    gan = towards(load_torch(args.gan), args.source, args.target, str(args.gan))
    renderer = load_method(args.model).load_renderer(gan, task, run.device)
    return task.source, renderer, list(gan.get("notes", []))


if __name__ == "__main__":
    run_stage(parser, body)
