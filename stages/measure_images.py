"""Measure rendered pictures by LPIPS and FID (Tables 1 and 4).

LPIPS: mean over each rendered picture and its own source picture. FID: the rendered pictures
against the target's training pictures. The row "Source-Target data" beside them: LPIPS of random
source and target pairs, FID of the same source pictures unrendered. Why so: docs/open-choices.md.

python -m stages.measure_images --method crgan --model crgan --source market1501 \\
    --target dukemtmc --seed 0 --source-manifest artifacts/demo/data/market1501/manifest.csv \\
    --target-manifest artifacts/demo/data/dukemtmc/manifest.csv \\
    --source-masks artifacts/demo/masks/market1501.h5 \\
    --target-masks artifacts/demo/masks/dukemtmc.h5 \\
    --gan artifacts/demo/gan/crgan/market1501-dukemtmc/seed0.pt \\
    --lpips-weights artifacts/demo/weights/lpips.pt \\
    --inception-weights artifacts/demo/weights/inception.pt \\
    --out results/demo/visual/crgan/market1501-dukemtmc/seed0.json
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from crgan.data.batches import from_gan, to_gan
from crgan.gan.base import Renderer, Task, load_method, open_task
from crgan.metrics.fid import fid_between, load_inception, statistics
from crgan.metrics.lpips_distance import load_lpips, source_target_lpips, translation_lpips
from crgan.metrics.measurement import WeightsFrom
from crgan.run.errors import UserError
from crgan.run.io import load_torch, save_torch, write_json
from crgan.run.stage import Run, StageParser, run_stage, seed_everything

_BATCH = 32

parser = StageParser("measure_images", __doc__)
parser.cell("--method", help="entry of `methods` in the parameters")
parser.cell("--model", help="file of crgan/gan that renders")
parser.cell("--source")
parser.cell("--target")
parser.cell("--seed", type=int)
parser.input("--source-manifest", beside=("images.npy",))
parser.input("--target-manifest", beside=("images.npy",))
parser.input("--source-masks")
parser.input("--target-masks")
parser.input("--gan", help="the trained GAN")
parser.input("--lpips-weights", help="AlexNet's convolutions (fetch_weights)")
parser.input("--inception-weights", help="the FID Inception (fetch_weights)")
parser.output("--out", help="the scores, JSON")


def body(args: argparse.Namespace, run: Run) -> None:
    """Render, measure and write."""
    seed_everything(run.seed, run.threads)
    settings = run.params["visual"]
    if settings["lpips_net"] != "alex":
        raise UserError(f"visual.lpips_net is {settings['lpips_net']!r}; section 4.1 has alex")
    task = open_task(
        args.source_manifest, args.target_manifest, args.source_masks, args.target_masks,
        run.params["image"]["train"],
    )  # fmt: skip
    gan = load_torch(args.gan)
    renderer = load_method(args.model).load_renderer(gan, task, run.device)
    weights = {
        "lpips": load_torch(args.lpips_weights),
        "inception": load_torch(args.inception_weights),
    }
    files = {role: _weights(file, run.scratch(f"{role}.pt")) for role, file in weights.items()}
    measured = measure(task, renderer, files["lpips"], files["inception"], settings, run.device)
    origins = {
        role: {"origin": file["origin"], "sha256": file["sha256"]} for role, file in weights.items()
    }
    random = [role for role, file in weights.items() if file["origin"] == "random"]
    notes = [f"{role} with random weights: no published quantity" for role in random]
    write_json(
        args.out,
        {
            "method": args.method,
            "source": args.source,
            "target": args.target,
            "seed": run.seed,
            "profile": run.profile,
            **measured,
            "settings": {**measured["settings"], "weights": origins},
            "notes": [*gan.get("notes", []), *notes],
        },
    )


def measure(
    task: Task,
    renderer: Renderer,
    lpips_weights: WeightsFrom,
    inception_weights: WeightsFrom,
    settings: Mapping[str, Any],
    device: str,
) -> dict[str, Any]:
    """`lpips`, `fid`, their `reference` row and `settings` of a renderer on its task.

    The pictures and the target instances follow from `pairs_seed` alone, so that all methods and
    seeds of a direction are measured on the same ones.
    """
    seed = settings["pairs_seed"]
    rng = np.random.default_rng(seed)
    s_rows = _choose(len(task.source), settings["pictures"], rng)
    t_rows = _choose(len(task.target), settings["target_pictures"], rng)
    x_s, x_t = task.source.images[s_rows], task.target.images[t_rows]
    x_g = _render(renderer, x_s, s_rows, rng, device)
    lpips = load_lpips(lpips_weights, device=device)
    inception = load_inception(inception_weights, dims=settings["fid_dims"], device=device)
    target = statistics(inception, x_t)
    moved = translation_lpips(lpips, x_s, x_g)
    fidelity = fid_between(statistics(inception, x_g), target)
    apart = source_target_lpips(lpips, x_s, x_t, pairs=len(x_s), seed=seed)
    gap = fid_between(statistics(inception, x_s), target)
    return {
        "lpips": moved.value,
        "fid": fidelity.value,
        "reference": {"lpips": apart.value, "fid": gap.value},
        "settings": {
            "lpips": _without_value(moved.to_dict()),
            "fid": _without_value(fidelity.to_dict()),
            "reference_lpips": _without_value(apart.to_dict()),
            "reference_fid": _without_value(gap.to_dict()),
            "pairs_seed": seed,
        },
    }


def _render(
    renderer: Renderer,
    x_s: NDArray[np.uint8],
    s_rows: NDArray[np.int64],
    rng: np.random.Generator,
    device: str,
) -> NDArray[np.uint8]:
    """One rendering of each source picture, as bytes: what LPIPS and FID see of any picture."""
    x_g = np.empty_like(x_s)
    for start in tqdm(range(0, len(x_s), _BATCH), desc="rendering", unit="batch"):
        some = slice(start, start + _BATCH)
        x_g[some] = from_gan(renderer.render(to_gan(x_s[some]).to(device), s_rows[some], rng))
    return x_g


def _choose(n: int, wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`wanted` places of n, or all of them, in order."""
    if wanted < 2:
        raise UserError(f"visual asks for {wanted} pictures; FID needs 2 at least")
    return np.sort(rng.choice(n, size=min(n, wanted), replace=False))


def _weights(file: Mapping[str, Any], scratch: Path) -> WeightsFrom:
    """A role's weights as the metrics take them: by name, or in a file of their own."""
    if file["origin"] == "random":
        return "random"
    save_torch(scratch, dict(file["state"]))
    return scratch


def _without_value(measurement: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in measurement.items() if key not in ("value", "weights")}


if __name__ == "__main__":
    run_stage(parser, body)
