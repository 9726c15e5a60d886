"""What the Snakefile asks of Python: parameters of this run, cells of the matrix, source files.

`workflow/rules/common.smk` makes one `Experiment` and the rules read it; nothing here runs a job.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.pipeline import containers as images
from crgan.pipeline.bucket import Bucket, Lineage
from crgan.pipeline.code import code_of
from crgan.pipeline.copies import ENVIRONMENT as COPIES
from crgan.pipeline.params import (
    ENVIRONMENT,
    canonical,
    effective,
    slice_of,
    snapshot_path,
)
from crgan.tables.cells import cells_of, scored_cells
from crgan.tables.claims import PATH as CLAIMS
from crgan.tables.claims import cells_needed, load_claims
from crgan.tables.printed import TABLES, printed_inputs, printed_path, ranked_tables

# Options of `snakemake` that look, tidy up or bless, and run no job.
LOOK_ONLY = (
    "archive", "cleanup_metadata", "cleanup_shadow", "conda_cleanup_envs",
    "conda_create_envs_only", "container_cleanup_images", "containerize", "d3dag", "dag",
    "delete_all_output", "delete_temp_output", "detailed_summary", "dryrun", "filegraph",
    "generate_unit_tests", "lint", "list_changes", "list_conda_envs", "list_input_changes",
    "list_params_changes", "list_rules", "list_target_rules", "list_untracked",
    "print_compilation", "rulegraph", "summary", "touch", "unlock",
)  # fmt: skip

LOCKS = Path(".snakemake/locks")

Cell = Mapping[str, Any]
Files = list[str] | Callable[[Any], list[str]]


def runs_jobs(argv: Sequence[str]) -> bool:
    """Whether a `snakemake` command line is about to run jobs, and does not only look.

    A command line of another program (Snakemake used as a library) is taken for looking, and so is
    one that Snakemake will refuse because another run holds the folder's lock.
    """
    from snakemake.cli import get_argument_parser

    program = Path(argv[0])
    if program.stem != "snakemake" and program.parent.name != "snakemake":
        return False
    args = get_argument_parser().parse_args(list(argv[1:]))
    if args.report is not None and not args.report_after_run:
        return False
    if LOCKS.is_dir() and any(LOCKS.iterdir()) and not args.nolock:
        return False
    return not any(getattr(args, option) not in (None, False) for option in LOOK_ONLY)


class Experiment:
    """The parameters of one run and what rules derive from them.

    Args:
        config: Snakemake's `config`, holding only what the command line set.
        apptainer: whether Snakemake starts jobs in containers itself (--sdm apptainer).
        workflow: Snakemake's.

    Attributes:
        bucket: the storage that keeps the results, if Snakemake was given one.
    """

    def __init__(
        self, config: Mapping[str, Any], *, apptainer: bool = False, workflow: Any = None
    ) -> None:
        self.params = effective(config)
        self._apptainer = apptainer
        self.bucket = None if workflow is None else Bucket.of(workflow)
        self._copies = self.bucket.copies if self.bucket else None
        self._lineage = Lineage(lambda: workflow.rules, self._copies) if self._copies else None
        self.profile: str = self.params["profile"]
        self.matrix: dict[str, Any] = self.params["matrix"]
        settings = self.params["profiles"][self.profile]["run"]
        self.threads = int(settings["threads"])
        # On a CPU nothing is scarce but cores; where a GPU may be used, training jobs take one.
        self.gpu = 0 if settings["device"] == "cpu" else 1
        # Jobs that train may be several processes, each with threads and a GPU of its own.
        processes = int(self.params["run"]["processes"])
        self.training_threads, self.training_gpus = processes * self.threads, processes * self.gpu

    def slice(self, stage: str, group: str | None = None) -> Callable[[Any], str]:
        """For `params:`. One value, since Snakemake compares parameters without their names.

        Args:
            group: the cell's part of the matrix, for a stage whose parameters name its {model}.
        """
        model = (lambda wildcards: {}) if group is None else self._model_axis(group)
        return lambda wildcards: json.dumps(
            canonical(slice_of(stage, self.params, **dict(wildcards), **model(wildcards))),
            sort_keys=True,
        )

    def _model_axis(self, group: str) -> Callable[[Any], dict[str, str]]:
        look_up = self.model(group)
        return lambda wildcards: {"model": look_up(wildcards)}

    def container(self, stage: str) -> Callable[[Any], str] | None:
        """For `container:`, the image of a stage: Apptainer's file here, or one in a registry.

        Looked up for the jobs of a run alone, since a run may need few of the images.
        """
        return (lambda wildcards: _image_address(stage)) if self._apptainer else None

    def code(self, stage: str, group: str | None = None) -> Callable[[Any], list[str]]:
        """For `input:`, the source files behind a cell; `group` is its part of the matrix."""
        if group is None:
            return lambda wildcards: self.of_checkout(code_of(stage))
        model = self.model(group)
        return lambda wildcards: self.of_checkout(code_of(stage, model(wildcards)))

    def of_checkout(self, files: Iterable[str | Path]) -> list[str]:
        """For `input:`, files of the checkout, which no storage keeps.

        Not Snakemake's `local()`: it would run the job on the submitting machine where nodes share
        no folder. Marked as sources they are at hand in any job, since Snakemake sends the
        checkout along. Their times say when it was cloned, so they do not count; the provenance
        records do.
        """
        names = [str(name) for name in files]
        if not self.bucket:
            return names
        from snakemake.io import ancient, sourcecache_entry

        return [ancient(sourcecache_entry(name, name)) for name in names]

    def with_records(self, files: Files) -> Files:
        """For `input:` of a job that reads records: where a storage keeps the files, also the
        records of all they are made from.
        """
        lineage = self._lineage
        if lineage is None:
            return files

        def all_files(wildcards: Any) -> list[str]:
            names = files if isinstance(files, list) else files(wildcards)
            return [*names, *lineage.of(names)]

        return all_files

    def model(self, group: str) -> Callable[[Any], str]:
        """The method file of a cell, by its wildcards."""
        return self._of_cell(group, "model")

    def gan(self, group: str, pattern: str) -> Callable[[Any], str]:
        """For `input:`, the GAN behind a cell: `pattern` with its {gan} and its seed."""
        look_up = self._of_cell(group, "gan")
        return lambda wildcards: pattern.format(gan=look_up(wildcards), seed=wildcards.seed)

    def start(self, pattern: str) -> Callable[[Any], str]:
        """For `input:`, the CNN a cell of `matrix.adapt` begins with."""
        look_up = self._of_cell("adapt", "start")
        return lambda wildcards: pattern.format(start=look_up(wildcards), seed=wildcards.seed)

    def visual_gans(self, pattern: str) -> Callable[[Any], list[str]]:
        """For `draw_methods`, the GANs of `matrix.visual` in a direction, of the first seed."""

        def files(wildcards: Any) -> list[str]:
            cells = direction_cells(self.matrix, wildcards.source, wildcards.target)
            return [pattern.format(gan=cell["gan"], seed=self.first_seed) for cell in cells]

        return files

    def _of_cell(self, group: str, key: str) -> Callable[[Any], str]:
        values = {_axes(cell): str(cell[key]) for cell in self.matrix[group]}

        def look_up(wildcards: Any) -> str:
            axes = _axes(dict(wildcards))
            if axes not in values:
                raise UserError(f"{' '.join(axes)} is no cell of matrix.{group} in params.yaml")
            return values[axes]

        return look_up

    def methods(self, group: str) -> str:
        """For `wildcard_constraints:`, the methods of a part of the matrix."""
        return "|".join(dict.fromkeys(cell["method"] for cell in self.matrix[group])) or "-"

    def cells(self, pattern: str, group: str | Sequence[Cell]) -> list[str]:
        """`pattern` for every cell of a part of the matrix (or of given cells) and every seed."""
        cells = self.matrix[group] if isinstance(group, str) else group
        return [
            pattern.format(**cell, seed=seed) for cell in cells for seed in self.matrix["seeds"]
        ]

    def scores(self, scored: str, visual: str) -> Callable[[Any], list[str]]:
        """For `make_table`, the score files a table shows."""

        def files(wildcards: Any) -> list[str]:
            cells, pictures = cells_of(int(wildcards.table), self.params)
            return [*self.cells(scored, cells), *self.cells(visual, pictures)]

        return files

    def score_folders(self) -> Callable[[Any], str]:
        """For `make_table`, the same as arguments: folders, since seeds are theirs to hold."""
        return lambda wildcards: score_arguments(
            int(wildcards.table), self.params, self.profile, self._copies
        )

    def interval_folders(self) -> Callable[[Any], str]:
        """For `bound_table` and `tabulate_cmc`, a table's per-query results (or picture scores) as
        arguments.
        """
        return lambda wildcards: interval_arguments(
            int(wildcards.table), self.params, self.profile, self._copies
        )

    def claim_results(self, kind: str, pattern: str) -> list[str]:
        """For `weigh_claims`, the files of one kind that the claims compare."""
        return self.cells(pattern, self._claimed[kind])

    @cached_property
    def _claimed(self) -> dict[str, list[Cell]]:
        return claimed_cells(self.params)

    def claim_folders(self) -> str:
        """For `weigh_claims`, the same as arguments."""
        return claim_arguments(self.params, self.profile, self._copies)

    @property
    def printed_tables(self) -> list[str]:
        """For `input:`, all printed tables."""
        return self.of_checkout(printed_tables())

    @property
    def claims(self) -> list[str]:
        """For `input:`, the paper's claims."""
        return self.of_checkout([CLAIMS])

    @property
    def scored(self) -> list[Cell]:
        """All cells that are evaluated by re-id."""
        return scored_cells(self.matrix)

    def all_score_folders(self) -> str:
        """For `tabulate_all`, the scores of all cells as arguments."""
        folders = (score_folder("cells", c, self.profile, self._copies) for c in self.scored)
        return " ".join(["--cells", *folders])

    def rendering_folders(self) -> str:
        """For `tabulate_renderings`, its scores as arguments."""
        return rendering_arguments(self.params, self.profile, self._copies)

    def printed(self) -> Callable[[Any], list[str]]:
        """For `make_table`, the printed tables it reads."""
        return lambda wildcards: self.of_checkout(printed_inputs(int(wildcards.table)))

    @property
    def first_seed(self) -> int:
        """The seed whose pictures are shown."""
        return int(self.matrix["seeds"][0])

    @property
    def ranked_tables(self) -> list[int]:
        """Those of re-id scores, which have CMC curves."""
        return ranked_tables()

    @property
    def tables(self) -> list[int]:
        """The paper's tables."""
        return list(TABLES)


def _image_address(stage: str) -> str:
    name = images.image_of(stage)
    locked = images.read_lock().get(name, {})
    if locked.get("sif") and (images.ROOT / locked["sif"]).is_file():
        return str(locked["sif"])
    if locked.get("reference"):
        return f"docker://{locked['reference']}"
    raise UserError(
        f"--sdm apptainer: {images.LOCK} names no file or address of image {name!r}; "
        "run docker/build --sif, or docker/build --push PREFIX"
    )


def _axes(cell: Mapping[str, Any]) -> tuple[str, ...]:
    """What identifies a cell, of two ends that are alike or of a source and a target."""
    return tuple(cell[axis] for axis in ("method", "a", "b", "source", "target") if axis in cell)


def job_environment(
    params: Mapping[str, Any], *, own_python: bool, copies: Path | None = None
) -> str:
    """Shell text put before every job's command; Snakemake keeps it out of its records.

    Args:
        params: jobs read these, as they were when the run began (`crgan.pipeline.params.snapshot`).
        copies: where they find what a storage keeps, if there is one.
        own_python: whether `python` is the one that runs Snakemake, environment activated or not;
            with CRGAN_RUNTIME set, the launcher's comes before it.
    """
    text = f"export {ENVIRONMENT}={snapshot_path(params)}; "
    if copies:
        text += f"export {COPIES}={shlex.quote(str(copies))}; "
    if own_python:
        first = str(Path(sys.executable).parent)
        if images.runtime() != "host":
            first = f"{images.ROOT / 'docker' / 'shims'}:{first}"
        text += f"export PATH={shlex.quote(first)}:$PATH; "
    return text


def score_arguments(
    table: int, params: Mapping[str, Any], profile: str, copies: Path | None = None
) -> str:
    """`--cells FOLDER ...` or `--visual FOLDER ...` of a table; both engines take it from here.

    Args:
        copies: where Snakemake puts what a storage keeps, if there is one.
    """
    cells, pictures = cells_of(table, params)
    folders = [score_folder("cells", cell, profile, copies) for cell in cells]
    measured = [score_folder("visual", cell, profile, copies) for cell in pictures]
    return " ".join(["--cells", *folders] if folders else ["--visual", *measured])


def interval_arguments(
    table: int, params: Mapping[str, Any], profile: str, copies: Path | None = None
) -> str:
    """`--queries FOLDER ...` or `--visual FOLDER ...` of a table's intervals; `--queries` alone
    where the matrix has no cell of the table.
    """
    cells, pictures = cells_of(table, params)
    kind, shown = ("queries", cells) if cells or not pictures else ("visual", pictures)
    return " ".join([f"--{kind}", *(score_folder(kind, cell, profile, copies) for cell in shown)])


def claimed_cells(params: Mapping[str, Any]) -> dict[str, list[Cell]]:
    """The cells that the paper's claims compare, by the folder of results they are read from."""
    return cells_needed(load_claims().measured, params)


def claim_arguments(params: Mapping[str, Any], profile: str, copies: Path | None = None) -> str:
    """`--queries FOLDER ... --visual FOLDER ... --judged FOLDER ...` of the claims."""
    words = []
    for kind, cells in claimed_cells(params).items():
        if cells:
            words += [f"--{kind}", *(score_folder(kind, cell, profile, copies) for cell in cells)]
    return " ".join(words)


def printed_tables() -> list[Path]:
    """The files of all printed tables."""
    return [printed_path(number) for number in TABLES]


def direction_cells(matrix: Mapping[str, Any], source: str, target: str) -> list[Cell]:
    """The cells of `matrix.visual` from a source to a target, in its order."""
    return [c for c in matrix["visual"] if (c["source"], c["target"]) == (source, target)]


def rendering_arguments(params: Mapping[str, Any], profile: str, copies: Path | None = None) -> str:
    """`--judged FOLDER ... --visual FOLDER ...` of the table of renderings."""
    cells = params["matrix"]["visual"]
    words = [
        word
        for kind in ("judged", "visual")
        for word in (f"--{kind}", *(score_folder(kind, cell, profile, copies) for cell in cells))
    ]
    return " ".join(words)


def score_folder(kind: str, cell: Cell, profile: str, copies: Path | None = None) -> str:
    """Folder of a cell's scores, one file a seed."""
    folder = f"results/{profile}/{kind}/{cell['method']}/{cell['source']}-{cell['target']}"
    return str(copies / folder) if copies else folder
