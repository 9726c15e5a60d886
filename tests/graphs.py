"""Both engines' graphs, expanded: what each job reads, runs and writes."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from tests.stub_project import run, set_params

_DUMP = """
import contextlib, io, json, sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import (
    ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings)

found = {}
for profile in sys.argv[2:]:
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL}, dryrun=True)) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=8),
            snakefile=Path("Snakefile"),
            config_settings=ConfigSettings(config={"profile": profile}),
        )
        dag = workflow.dag(DAGSettings(targets={"all"}, forceall=True))
        with contextlib.redirect_stdout(io.StringIO()):
            dag.printd3dag()
        found[profile] = [
            {
                "name": job.rule.name,
                "command": job.shellcmd,
                "inputs": sorted(map(str, job.input)),
                "outputs": sorted(map(str, job.output)),
                "slice": job.params.slice,
                "threads": job.threads,
                "gpu": job.resources.get("gpu"),
            }
            for job in workflow._workflow.dag.jobs
            if job.rule.shellcmd
        ]
Path(sys.argv[1]).write_text(json.dumps(found))
"""


@dataclass(frozen=True)
class Job:
    """One job of either engine.

    Attributes:
        name: the rule, or the stage without its cell.
        argv: the program and its arguments, without redirections.
        inputs: files, or folders whose files a fan-in stage reads.
        outputs: everything it writes.
        slice: Snakemake's one parameter; "" in DVC.
        recipe: the file that says a stage's sources and parameters to DVC; "" in Snakemake.
    """

    name: str
    argv: tuple[str, ...]
    inputs: frozenset[str]
    outputs: frozenset[str]
    slice: str = ""
    recipe: str = ""
    threads: int = 0
    gpu: int | None = None

    @property
    def program(self) -> str:
        """Name of the stage's file."""
        return self.argv[2].removeprefix("stages.")


Graph = dict[frozenset[str], Job]


def snakemake_graphs(folder: Path, *profiles: str) -> dict[str, Graph]:
    """Snakemake's jobs by their outputs, a graph a profile; loads the workflow and runs nothing."""
    script, answer = folder / ".scratch" / "dump.py", folder / ".scratch" / "jobs.json"
    script.parent.mkdir(exist_ok=True)
    script.write_text(_DUMP)
    run(folder, sys.executable, str(script), str(answer), *profiles)
    return {
        profile: {job.outputs: job for job in map(_snakemake_job, jobs)}
        for profile, jobs in json.loads(answer.read_text()).items()
    }


def _snakemake_job(job: dict[str, Any]) -> Job:
    words = shlex.split(job["command"])
    return Job(
        job["name"],
        tuple(words[: words.index(">")]),
        frozenset(job["inputs"]),
        frozenset(job["outputs"]),
        slice=job["slice"],
        threads=job["threads"],
        gpu=job["gpu"],
    )


def dvc_graph(folder: Path, profile: str) -> Graph:
    """DVC's stages by their outputs, with the profile written into params.yaml."""
    set_params(folder, {"profile": profile})
    graph: Graph = {}
    with Repo(str(folder)) as repo:
        for stage in repo.index.stages:
            if stage.name in ("preflight", "write_recipes"):  # Snakemake knows these things itself
                continue
            assert not any(getattr(dep, "params", None) for dep in stage.deps), stage.name
            files = {os.path.relpath(dep.fs_path, folder) for dep in stage.deps}
            (recipe,) = {name for name in files if name.startswith("artifacts/recipes/")}
            job = Job(
                stage.name.split("@")[0],
                tuple(shlex.split(stage.cmd)),
                frozenset(files - {recipe}),
                frozenset(os.path.relpath(out.fs_path, folder) for out in stage.outs),
                recipe=recipe,
            )
            graph[job.outputs] = job
    return graph
