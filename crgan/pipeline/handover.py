"""From Snakemake to DVC: record in dvc.lock what Snakemake made, after judging it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.pipeline import preflight, recipes
from crgan.pipeline.hashes import Hashes
from crgan.pipeline.params import load
from crgan.pipeline.progress import Bar
from crgan.pipeline.records import SUFFIX, Judge

_FIRST = (preflight.SAID, recipes.FOLDER)  # written here, by no stage of the pipeline's own


def commit() -> tuple[int, int]:
    """`dvc commit` of every stage whose outputs are all there and all current.

    A bare `dvc commit -f` blesses whatever lies on disk; this refuses.

    Returns:
        How many stages were recorded, and how many are not built yet.

    Raises:
        UserError: an output on disk is stale, or a stage is built in part.
    """
    from dvc.repo import Repo, lock_repo

    params = load()
    preflight.write(params)
    recipes.write(params)
    judge = Judge(params, hashes=Hashes())
    ready, absent = [], 0
    with Repo() as repo, lock_repo(repo):
        for stage in repo.index.stages:
            reasons = {name: judge.why_stale(name) for name in _outputs(stage)}
            stale = {name: reason for name, reason in reasons.items() if reason}
            if not stale:
                ready.append(stage)
            elif set(reasons.values()) == {"missing"}:
                absent += 1
            else:
                name, reason = next(iter(stale.items()))
                raise UserError(
                    f"{name}: {reason}. Nothing was recorded; run snakemake first, and give it "
                    "the parameters of params.yaml (no --config)"
                )
        if len(ready) == len(_FIRST):  # these are always ready
            raise UserError("nothing is built with the parameters of params.yaml; run snakemake")
        _record(ready)
    judge.save()
    return len(ready), absent


def _record(stages: list[Any]) -> None:
    """What `dvc commit -f` does, for these stages together.

    DVC's own takes one stage or all, and for each call reads dvc.yaml and writes dvc.lock anew:
    more than ten minutes for the 200 stages of the demo.
    """
    for stage in Bar(stages, desc="dvc commit", unit="stage"):
        stage.save()
        # relink=False: a file linked afresh would look like another program's to Snakemake
        stage.commit(relink=False)
    stages[0].dvcfile.dump_stages(stages, update_pipeline=False)


def _outputs(stage: Any) -> list[str]:
    """A stage's outputs, but the records (the judge reads them) and what this room writes."""
    names = [os.path.relpath(out.fs_path) for out in stage.outs]
    return [n for n in names if not n.endswith(SUFFIX) and Path(n) not in _FIRST]
