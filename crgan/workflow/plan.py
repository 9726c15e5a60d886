"""What the Snakefile asks of Python: parameters of this run, cells of the matrix, what counts.

`workflow/rules/common.smk` makes one `Experiment` and the rules read it; nothing here runs a job.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import read_json
from crgan.pipeline import containers as images
from crgan.pipeline.code import METHOD_FOLDER
from crgan.pipeline.hashes import Hashes
from crgan.pipeline.identity import entry_of, identity_of
from crgan.pipeline.params import ENVIRONMENT, canonical, effective, snapshot_path
from crgan.pipeline.places import AS_IT_IS, place_of, scored_file, start_file
from crgan.pipeline.records import record_path
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

MEASURED_ONLY = "CRGAN_MEASURED_ONLY"  # set by crgan.workflow.recorded, which trains nothing

Cell = Mapping[str, Any]


def runs_jobs(argv: Sequence[str]) -> bool:
    """Whether a `snakemake` command line is about to run jobs, and does not only look.

    A command line of another program (Snakemake used as a library) is taken for looking.
    """
    args = _options(argv)
    if args is None or (args.report is not None and not args.report_after_run):
        return False
    return not any(getattr(args, option) not in (None, False) for option in LOOK_ONLY)


def plans_jobs(argv: Sequence[str]) -> bool:
    """Whether a `snakemake` command line asks for a plan, in no form of its own."""
    args = _options(argv)
    return (
        args is not None
        and bool(args.dryrun)
        and not (args.printshellcmds or args.verbose or args.quiet or args.debug_dag)
    )


def _options(argv: Sequence[str]) -> argparse.Namespace | None:
    from snakemake.cli import get_argument_parser

    program = Path(argv[0])
    if program.stem != "snakemake" and program.parent.name != "snakemake":
        return None
    return get_argument_parser().parse_args(list(argv[1:]))


class Experiment:
    """The parameters of one run and what rules derive from them.

    Args:
        config: Snakemake's `config`, holding only what the command line set.
        apptainer: whether Snakemake starts jobs in containers itself (--sdm apptainer).
    """

    def __init__(self, config: Mapping[str, Any], *, apptainer: bool = False) -> None:
        self.params = effective(config)
        self._apptainer = apptainer
        self._hashes = Hashes()
        self.profile: str = self.params["profile"]
        self.matrix: dict[str, Any] = self.params["matrix"]
        settings = self.params["profiles"][self.profile]["run"]
        self.threads = int(settings["threads"])
        # On a CPU nothing is scarce but cores; where a GPU may be used, training jobs take one.
        self.gpu = 0 if settings["device"] == "cpu" else 1
        # Jobs that train may be several processes, each with threads and a GPU of its own.
        processes = int(self.params["run"]["processes"])
        self.training_threads, self.training_gpus = processes * self.threads, processes * self.gpu

    # --- what a job is made by ---

    def slice(self, stage: str) -> Callable[..., str]:
        """For `params:`, all that decides a job's outputs besides its inputs, as one JSON text: its
        parameters, its code, its line of the matrix, the files its parameters name, raw data.

        One value, since Snakemake compares parameters without their names.
        """

        def text(wildcards: Any, output: Any) -> str:
            cell = self._cell(stage, dict(wildcards))
            known = _record_of(output[0])
            found = identity_of(stage, self.params, cell, self._hashes, known)
            return json.dumps(canonical(found), sort_keys=True)

        return text

    def arguments(self, stage: str) -> Callable[..., str]:
        """For `params:`, a stage's command line: wildcards, named inputs and named outputs are its
        flags (`d_id=` is `--d-id`), but for names that begin with `beside` or `record`, whose files
        lie beside others and go without saying.
        """

        def text(wildcards: Any, input: Any, output: Any) -> str:
            words = []
            for axis, value in self._cell(stage, dict(wildcards)).items():
                words += [f"--{axis}", str(value)]
            for name, files in (*input.items(), *output.items()):
                names = [files] if isinstance(files, str) else list(files)
                if names and not name.startswith(("beside", "record")):
                    words += [f"--{name.replace('_', '-')}", *map(str, names)]
            return shlex.join(words)

        return text

    def container(self, stage: str) -> Callable[[Any], str] | None:
        """For `container:`, the Apptainer file of the stage's image.

        Looked up for the jobs of a run alone, since a run may need few of the images.
        """
        return (lambda wildcards: images.apptainer_file(stage)) if self._apptainer else None

    def _cell(self, stage: str, wildcards: dict[str, Any]) -> dict[str, Any]:
        """A job's axes; where a stage loads its method by name, that is one of them."""
        entry = entry_of(stage, self.matrix, wildcards)
        if stage in METHOD_FOLDER and "model" in entry:
            return {"method": wildcards["method"], "model": entry["model"], **wildcards}
        return wildcards

    # --- which files a job reads ---

    def gan(self, stage: str, pattern: str) -> Callable[[Any], str]:
        """For `input:`, the GAN behind a cell: `pattern` with its {gan} and its seed."""
        return lambda w: pattern.format(gan=self._entry(stage, w)["gan"], seed=w.seed)

    def start(self, wildcards: Any) -> str:
        """For `input:`, the CNN that a cell of `matrix.adapt` begins with."""
        return start_file(self.params, self._entry("adapt", wildcards), wildcards.seed)

    def reid(self, wildcards: Any) -> str:
        """For `input:`, the re-id CNN of a cell, whichever way it was made."""
        return scored_file(self.params, place_of(dict(wildcards)), wildcards.seed)

    def scored(self, wildcards: Any) -> dict[str, str]:
        """For `input:` of `evaluate`, a re-id CNN or hand-crafted features."""
        crafted = any(
            place_of(cell) == place_of(dict(wildcards)) for cell in self.matrix["handcrafted"]
        )
        return {"features" if crafted else "reid": self.reid(wildcards)}

    def _entry(self, stage: str, wildcards: Any) -> dict[str, Any]:
        cell = dict(wildcards)
        entry = entry_of(stage, self.matrix, cell)
        if not entry:
            words = " ".join(str(v) for v in cell.values())
            raise UserError(f"{words}: params.yaml's matrix has no such cell for stage {stage}")
        return entry

    def visual_gans(self, pattern: str) -> Callable[[Any], list[str]]:
        """For `draw_methods`, the GANs of `matrix.visual` in a direction, of the first seed."""

        def files(wildcards: Any) -> list[str]:
            pair = (wildcards.source, wildcards.target)
            cells = [c for c in self.matrix["visual"] if (c["source"], c["target"]) == pair]
            return [pattern.format(gan=cell["gan"], seed=self.first_seed) for cell in cells]

        return files

    # --- cells of the matrix ---

    def methods(self, *groups: str) -> str:
        """For `wildcard_constraints:`, the methods of parts of the matrix."""
        names = (cell["method"] for group in groups for cell in self.matrix[group])
        return "|".join(dict.fromkeys(names)) or "-"

    def cells(self, pattern: str, group: str | Iterable[Cell]) -> list[str]:
        """`pattern` for every cell of a part of the matrix (or of given cells) and every seed; of a
        recorded run, for those it has.
        """
        cells = self.matrix[group] if isinstance(group, str) else group
        names = [
            pattern.format(**cell, seed=seed) for cell in cells for seed in self.matrix["seeds"]
        ]
        measured_only = MEASURED_ONLY in os.environ
        return [name for name in names if not measured_only or os.path.isfile(name)]

    @property
    def roles(self) -> list[str]:
        """What the profile names pretrained weights for."""
        return list(self.params["profiles"][self.profile]["weights"])

    @property
    def adapting(self) -> list[Cell]:
        """The cells of `matrix.adapt` that change the CNN they start from."""
        return [cell for cell in self.matrix["adapt"] if cell["model"] != AS_IT_IS]

    @property
    def ranked(self) -> list[Cell]:
        """Every cell that gets re-id scores."""
        return scored_cells(self.matrix)

    def scores(self, pattern: str) -> Callable[[Any], list[str]]:
        """For `input:`, the re-id results that a table shows."""
        return lambda w: self.cells(pattern, cells_of(int(w.table), self.params)[0])

    def imaged(self, pattern: str) -> Callable[[Any], list[str]]:
        """For `input:`, the measures of images that a table shows."""
        return lambda w: self.cells(pattern, cells_of(int(w.table), self.params)[1])

    def claimed(self, kind: str, pattern: str) -> list[str]:
        """For `weigh_claims`, the files of one kind, such as queries, that claims compare."""
        return self.cells(pattern, self._claimed[kind])

    @cached_property
    def _claimed(self) -> dict[str, list[Cell]]:
        return cells_needed(load_claims().measured, self.params)

    def printed(self, wildcards: Any) -> list[str]:
        """For `input:`, the printed tables behind a table."""
        return [str(path) for path in printed_inputs(int(wildcards.table))]

    @property
    def all_printed(self) -> list[str]:
        """For `input:`, all printed tables."""
        return [str(printed_path(number)) for number in TABLES]

    @property
    def claims(self) -> str:
        """For `input:`, the paper's claims."""
        return str(CLAIMS)

    @property
    def first_seed(self) -> int:
        """The seed whose images are shown."""
        return int(self.matrix["seeds"][0])

    @property
    def ranked_tables(self) -> list[int]:
        """Those of re-id scores, which have CMC curves."""
        return ranked_tables()

    @property
    def tables(self) -> list[int]:
        """The paper's tables."""
        return list(TABLES)


def _record_of(output: str) -> dict[str, Any] | None:
    """The record beside an output that is there."""
    path = record_path(output)
    try:
        found = read_json(path) if path.is_file() else None
    except UserError:
        return None
    return found if isinstance(found, dict) else None


def job_environment(params: Mapping[str, Any], *, own_python: bool) -> str:
    """Shell text put before every job's command; Snakemake keeps it out of its records.

    Args:
        params: jobs read these, as they were when the run began (`crgan.pipeline.params.snapshot`).
        own_python: whether `python` is the one that runs Snakemake, environment activated or not.
    """
    text = f"export {ENVIRONMENT}={snapshot_path(params)}; "
    if own_python:
        text += f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; "
    return text
