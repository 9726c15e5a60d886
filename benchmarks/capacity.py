"""How long, on how many GPUs, for how much: the capacity plan of docs/capacity.md.

    python -m benchmarks.capacity                              # paper profile; 1, 4 and 32 GPUs
    python -m benchmarks.capacity --seeds 5 --tflops 100 --price 3

Nothing is run. Operations and memory are counted on shapes (`benchmarks.capacity_work`), the jobs
and what waits for what are the workflow's own graph, and a list scheduler lays them out: whenever a
GPU is free, of the jobs that could start the one with the longest way to the end does. Time is
operations over --tflops, sustained; that number is an assumption, and everything follows from it.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import io
import itertools
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.capacity_work import ANY_JOB_SECONDS, Count, Counts, Work
from crgan.pipeline import params as parameters

_AXES = ("method", "model", "source", "target", "a", "b", "dataset", "gan", "features")


@dataclass(frozen=True)
class Job:
    """One job of the graph.

    Attributes:
        program: its stage.
        label: the stage, with the method's model where that decides the cost.
        inputs, outputs: files.
        work: what it computes.
        gpu: whether it holds one.
    """

    program: str
    label: str
    inputs: frozenset[str]
    outputs: frozenset[str]
    work: Work
    gpu: bool

    def seconds(self, tflops: float, cores: int) -> float:
        """From start to end; processor work spreads over `cores`."""
        work = self.work
        return ANY_JOB_SECONDS + work.flops / (tflops * 1e12) + work.cpu / cores + work.serial


def graph(profile: str, seeds: int, known: dict[Any, Count]) -> list[Job]:
    """The workflow's jobs for every table and figure."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import (
        ConfigSettings,
        DAGSettings,
        OutputSettings,
        Quietness,
        ResourceSettings,
    )

    config = {"profile": profile, "set": [f"matrix.seeds={list(range(seeds))}"]}
    params = parameters.effective(config)
    counts = Counts(params, known)
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL}, dryrun=True)) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=8),
            snakefile=Path("Snakefile"),
            config_settings=ConfigSettings(config=config),
        )
        dag = workflow.dag(DAGSettings(targets={"all"}, forceall=True))
        with contextlib.redirect_stdout(io.StringIO()):
            dag.printd3dag()  # which has the graph made
        return [_job(job, counts) for job in workflow._workflow.dag.jobs if job.rule.shellcmd]


def _job(job: Any, counts: Counts) -> Job:
    words = shlex.split(job.shellcmd)
    program = words[2].removeprefix("stages.")
    options = dict(itertools.pairwise(words))
    cell = {axis: options[f"--{axis}"] for axis in _AXES if f"--{axis}" in options}
    model = f" {cell['model']}" if program in ("adapt", "train_translation", "handcraft") else ""
    return Job(
        program,
        program + model,
        frozenset(map(str, job.input)),
        frozenset(map(str, job.output)),
        counts.work(program, cell),
        bool(job.resources.get("gpu")),
    )


def before(jobs: list[Job]) -> list[list[int]]:
    """For each job those it waits for."""
    maker = {name: i for i, job in enumerate(jobs) for name in job.outputs}
    return [sorted({maker[name] for name in job.inputs if name in maker}) for job in jobs]


def ways(seconds: list[float], waits: list[list[int]]) -> list[float]:
    """For each job the longest way from its start to the end of the last job."""
    after = defaultdict(list)
    left = Counter[int]()
    for i, found in enumerate(waits):
        for j in found:
            after[j].append(i)
            left[j] += 1
    way = list(seconds)
    ready = [i for i in range(len(seconds)) if not left[i]]
    while ready:
        i = ready.pop()
        way[i] = seconds[i] + max((way[j] for j in after[i]), default=0.0)
        for j in waits[i]:
            left[j] -= 1
            if not left[j]:
                ready.append(j)
    return way


def schedule(jobs: list[Job], seconds: list[float], waits: list[list[int]], gpus: int) -> float:
    """Seconds until the last job ends; jobs without a GPU have as many places as there are GPUs."""
    way = ways(seconds, waits)
    left = [len(found) for found in waits]
    after = defaultdict(list)
    for i, found in enumerate(waits):
        for j in found:
            after[j].append(i)
    queues: dict[bool, list[tuple[float, int]]] = {True: [], False: []}
    free = {True: gpus, False: gpus}
    running: list[tuple[float, int]] = []
    now = 0.0
    for i in range(len(jobs)):
        if not left[i]:
            heapq.heappush(queues[jobs[i].gpu], (-way[i], i))
    while running or queues[True] or queues[False]:
        for kind, queue in queues.items():
            while queue and free[kind]:
                _, i = heapq.heappop(queue)
                free[kind] -= 1
                heapq.heappush(running, (now + seconds[i], i))
        now, i = heapq.heappop(running)
        free[jobs[i].gpu] += 1
        for j in after[i]:
            left[j] -= 1
            if not left[j]:
                heapq.heappush(queues[jobs[j].gpu], (-way[j], j))
    return now


def critical(jobs: list[Job], seconds: list[float], waits: list[list[int]]) -> list[int]:
    """The jobs of the longest way, first to last."""
    way = ways(seconds, waits)
    path = [max(range(len(jobs)), key=way.__getitem__)]
    while True:
        following = [i for i, found in enumerate(waits) if path[-1] in found]
        if not following:
            return path
        path.append(max(following, key=way.__getitem__))


def by_stage(jobs: list[Job], seconds: list[float]) -> list[str]:
    """The table of stages, dearest first."""
    rows: dict[str, list[tuple[Job, float]]] = defaultdict(list)
    for job, time in zip(jobs, seconds, strict=True):
        rows[job.label].append((job, time))
    total = sum(seconds)
    lines = [
        "| stage | jobs | operations a job | GPU memory | a job | all | share |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for label, found in sorted(rows.items(), key=lambda row: -sum(t for _, t in row[1])):
        time = sum(t for _, t in found)
        flops = max(job.work.flops for job, _ in found)
        memory = max(job.work.memory for job, _ in found)
        lines.append(
            f"| {label} | {len(found)} | {f'{flops:.1e}' if flops else ''} | "
            f"{f'{memory / 1e9:.1f} GB' if memory else ''} | "
            f"{max(t for _, t in found) / 3600:.2f} h | {time / 3600:.1f} h | "
            f"{time / total:.1%} |"
        )
    return lines


def plan(jobs: list[Job], args: argparse.Namespace) -> Iterable[str]:
    """The plan's lines."""
    seconds = [job.seconds(args.tflops, args.cores) for job in jobs]
    waits = before(jobs)
    held = sum(t for job, t in zip(jobs, seconds, strict=True) if job.gpu)
    yield (
        f"{len(jobs)} jobs, {sum(job.gpu for job in jobs)} of them on a GPU; "
        f"{sum(job.work.flops for job in jobs):.2e} operations; {held / 3600:.0f} GPU hours.\n"
    )
    yield from by_stage(jobs, seconds)
    path = critical(jobs, seconds, waits)
    longest = sum(seconds[i] for i in path)
    yield f"\nThe longest way, {longest / 3600:.1f} h: " + " → ".join(
        f"{jobs[i].label} {seconds[i] / 3600:.1f} h" for i in path if seconds[i] > 60
    )
    yield "\n| GPUs | time | GPUs busy | rented for the whole time | bound by |"
    yield "|---:|---:|---:|---:|---|"
    for gpus in args.gpus:
        time = schedule(jobs, seconds, waits, gpus)
        bound = "the GPUs' work" if held / gpus > longest else "the longest way"
        yield (
            f"| {gpus} | {time / 3600:.1f} h | {held / gpus / time:.0%} | "
            f"{time / 3600 * gpus * args.price:,.0f} $ | {bound} |"
        )


def disk(counts: Counts, seeds: int) -> Iterable[str]:
    """What the results of a profile take."""
    params: Mapping[str, Any] = counts.params
    matrix = params["matrix"]
    height, width = params["profiles"][params["profile"]]["image"]["store"]
    picture = 3 * height * width
    stores = sum(counts.pictures(name) for name in matrix["datasets"]) * picture
    cnn, gan = counts.reid(32).weights, counts.gan(False).weights - counts.reid(32).weights
    cnns = len(matrix["gan"]) + len(matrix["rendered"]) + len(matrix["adapt"])
    cnns = (cnns + len(matrix["sources"])) * cnn * seeds
    gans = (len(matrix["gan"]) + 2 * len(matrix["translators"])) * gan * seeds
    sets = 0.0
    for cell in matrix["rendered"]:
        copies = params["render_set"]["copies"] if cell["model"] == "crgan" else 1
        sets += copies * counts.pictures(cell["source"], "train") * picture * seeds
    styles = max(counts.pictures(t, "train") * (counts.cameras(t) + 1) for t in matrix["targets"])
    yield "\n| on disk | GB |\n|---|---:|"
    for name, size in (
        ("pictures of the data sets", stores),
        ("rendered sets", sets),
        ("re-id CNNs", cnns),
        ("GANs", gans),
        ("HHL's renderings while one such job runs", styles * picture),
    ):
        yield f"| {name} | {size / 1e9:.1f} |"


def main(argv: list[str] | None = None) -> None:
    """Print the plan as Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.capacity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", default="paper")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 4, 32])
    parser.add_argument("--tflops", type=float, default=40.0, help="sustained, of one GPU")
    parser.add_argument("--cores", type=int, default=8, help="processor cores beside each GPU")
    parser.add_argument("--price", type=float, default=2.0, help="$ an hour of one GPU")
    args = parser.parse_args(argv)
    params = parameters.effective({"profile": args.profile})
    known: dict[Any, Count] = {}
    for seeds in args.seeds:
        print(f"\n### {seeds} seed{'s' if seeds > 1 else ''}\n")
        print("\n".join(plan(graph(args.profile, seeds, known), args)))
        print("\n".join(disk(Counts(params, known), seeds)), flush=True)


if __name__ == "__main__":
    main()
