"""What there is to report of: one profile's records, results and artifacts in a project's folder.

Nothing here is asked of an engine, so that a report can be made while a run is going on, of a
folder that came from another machine, or of one cell alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from crgan.pipeline.params import with_profile
from crgan.pipeline.records import MADE, all_records
from crgan.tables.written import read_rows

Record = Mapping[str, Any]
CELL = "{method}/{source}-{target}/seed{seed}"


@dataclass(frozen=True)
class Project:
    """A project's folder seen through one profile.

    Attributes:
        root: the folder.
        params: its parameters, whole.
        profile: whose numbers are reported; the parameters are of this profile.
        default: the profile that params.yaml names.
    """

    root: Path
    params: Mapping[str, Any]
    profile: str
    default: str

    @property
    def artifacts(self) -> Path:
        """Folder of the profile's models, data and the like."""
        return self.root / MADE[0] / self.profile

    @property
    def results(self) -> Path:
        """Folder of the profile's scores; tables and figures lie one higher."""
        return self.root / MADE[1] / self.profile

    @property
    def seeds(self) -> list[int]:
        """Seeds of the matrix."""
        return list(self.params["matrix"]["seeds"])

    @cached_property
    def records(self) -> dict[str, Record]:
        """The record of every output of this profile, by the output's name."""
        folders = [self.artifacts, self.results]
        found = all_records(*folders) | all_records(self.results.parent, deep=False)
        return {
            name: record
            for name, record in found.items()
            if record["cell"].get("profile") == self.profile
        }

    @cached_property
    def jobs(self) -> dict[str, Record]:
        """The records by their key, the first begun first; a job of several outputs stands once."""
        found = {record["key"]: record for record in self.records.values()}
        return dict(sorted(found.items(), key=lambda item: item[1]["run"].get("started", "")))

    def file(self, name: str) -> Path | None:
        """A recorded output of this profile, if it is there."""
        path = self.root / name
        return path if name in self.records and path.is_file() else None

    def table(self, number: int) -> list[dict[str, str]] | None:
        """The rows of results/tableN.csv; None where it is not made, or of another profile."""
        path = self.results.parent / f"table{number}.csv"
        rows = read_rows(path)
        if rows is None or any(row.get("profile") != self.profile for row in rows):
            return None
        return rows

    def title(self, number: int) -> str:
        """The title of a table, as its readable form has it."""
        path = self.results.parent / f"table{number}.md"
        if not path.is_file():
            return f"Table {number}"
        return path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")

    def seed_files(
        self, kind: str, cell: Mapping[str, Any], suffix: str
    ) -> Iterator[tuple[int, str]]:
        """(seed, name) of a cell's files below results/<profile>/<kind> that are there."""
        for seed in self.seeds:
            name = f"results/{self.profile}/{kind}/{CELL.format(**cell, seed=seed)}{suffix}"
            if self.file(name):
                yield seed, name

    def key_of(self, name: str) -> str:
        """The key of the job that made an output."""
        return str(self.records[name]["key"])

    def label(self, method: str) -> str:
        """A method's name as printed."""
        entry = self.params["methods"].get(method)
        return str(entry["label"]) if entry else method

    def command(self, target: str) -> str:
        """The command that makes a file with this profile."""
        own = "" if self.profile == self.default else f" --config profile={self.profile}"
        return f"snakemake --cores all {target}{own}"


def open_project(root: Path, params: dict[str, Any], profile: str | None) -> Project:
    """A project of a profile; that of its parameters by default.

    Raises:
        UserError: no such profile.
    """
    default = params["profile"]
    wanted = profile or default
    return Project(root, with_profile(params, wanted), wanted, default)


def lineage(project: Project, key: str) -> list[str]:
    """Keys of all jobs a job's result descends from, that job first, then the nearest."""
    seen: dict[str, None] = {}
    waiting = [key]
    while waiting:
        here = waiting.pop(0)
        if here in seen:
            continue
        seen[here] = None
        inputs = project.jobs[here]["inputs"]
        waiting += [project.key_of(name) for name in sorted(inputs) if name in project.records]
    return list(seen)
