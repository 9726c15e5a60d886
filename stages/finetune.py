"""Fine-tune D_id on source pictures rendered into target contexts on the fly (Alg. 1, III).

python -m stages.finetune --method crgan --model crgan --source market1501 --target dukemtmc \\
    --seed 0 --source-manifest artifacts/demo/data/market1501/manifest.csv \\
    --target-manifest artifacts/demo/data/dukemtmc/manifest.csv \\
    --source-masks artifacts/demo/masks/market1501.h5 \\
    --target-masks artifacts/demo/masks/dukemtmc.h5 \\
    --d-id artifacts/demo/d_id/market1501/seed0.pt \\
    --gan artifacts/demo/gan/crgan/market1501-dukemtmc/seed0.pt \\
    --out artifacts/demo/reid/crgan/market1501-dukemtmc/seed0.pt \\
    --history artifacts/demo/reid/crgan/market1501-dukemtmc/seed0.csv
"""

from __future__ import annotations

import argparse

from crgan.run.io import load_torch, save_torch
from crgan.run.stage import Run, StageParser, run_stage, seed_everything

parser = StageParser("finetune", __doc__)
parser.cell("--method", help="entry of `methods` in the parameters")
parser.cell("--model", help="file of crgan/gan that renders")
parser.cell("--source")
parser.cell("--target")
parser.cell("--seed", type=int)
parser.input("--source-manifest", beside=("images.npy",))
parser.input("--target-manifest", beside=("images.npy",))
parser.input("--source-masks")
parser.input("--target-masks")
parser.input("--d-id", help="the re-id file to start from")
parser.input("--gan", help="the trained GAN")
parser.output("--out", help="the fine-tuned re-id file")
parser.output("--history", help="loss, rate and training accuracy, CSV")


def body(args: argparse.Namespace, run: Run) -> None:
    """Fine-tune and write."""
    from crgan.gan.base import load_method, open_task
    from crgan.reid.finetune import FineTuning, finetune
    from crgan.reid.training import write_history

    seed_everything(run.seed, run.threads)
    plan = FineTuning.from_params(run.params["finetune"])
    task = open_task(
        args.source_manifest,
        args.target_manifest,
        args.source_masks,
        args.target_masks,
        run.params["image"]["train"],
    )
    gan = load_torch(args.gan)
    renderer = load_method(args.model).load_renderer(gan, task, run.device)
    checkpoint = run.checkpoint()
    file, history = finetune(
        load_torch(args.d_id),
        task.source,
        renderer,
        plan,
        seed=run.seed,
        name=str(args.d_id),
        device=run.device,
        checkpoint=checkpoint,
    )
    notes = dict.fromkeys([*file["notes"], *gan.get("notes", [])])  # each once
    save_torch(args.out, {**file, "notes": list(notes)})
    write_history(args.history, history)
    checkpoint.remove()


if __name__ == "__main__":
    run_stage(parser, body)
