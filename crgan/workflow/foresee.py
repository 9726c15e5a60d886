"""A dry run plans as if what a run does before it plans were done: outputs that do not stand are
missing, earlier ones that stand again are there, and adopted ones are no older than what they are
made from.

Snakemake asks its cache of files, which it fills as it plans, whether a file is there and how old
it is; here the cache gets answers of its own. Nothing on the disk changes. Forcing the jobs (as
`--forcerun` does) would not do: what is forced is also a target, asked for or not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakemake.io import ExistsDict, IOCache, Mtime

from crgan.pipeline.records import aside, record_path
from crgan.workflow.adopt import Finding


def foresee(workflow: Any, finding: Finding) -> None:
    """Have a dry run of a workflow of Snakemake take `finding` for done."""
    build = workflow._build_dag  # the cache is new when this is called, and nothing was planned

    def build_as_if() -> None:
        if workflow.dryrun:
            suppose(workflow.iocache, finding)
        build()

    workflow._build_dag = build_as_if


def suppose(cache: IOCache, finding: Finding) -> None:
    """Put into Snakemake's cache of files what a run will find after `finding` is done."""
    there = dict.fromkeys(finding.stale, False)
    there |= dict.fromkeys((*finding.restored, *finding.adopted), True)
    there |= {str(record_path(name)): known for name, known in there.items()}
    cache._exists_local = _Supposed(cache, there)
    now = time.time()  # of all of them: none is newer than another, as `--touch` leaves them
    for name, known in there.items():
        if known:
            cache.mtime[name] = Mtime(local=now)
        # for resources that follow the inputs' size; of what is to be made anew, its present one
        for path in (Path(name), aside(name)):
            if path.is_file():
                cache.size.setdefault(name, path.stat().st_size)


class _Supposed(ExistsDict):
    """Whether files are there, by path; for some it is said beforehand."""

    def __init__(self, cache: IOCache, known: Mapping[str, bool]) -> None:
        super().__init__(cache)
        self._said = known

    def __contains__(self, path: Any) -> bool:
        return str(path) in self._said or super().__contains__(path)

    def __getitem__(self, path: Any) -> bool:
        said = self._said.get(str(path))
        return bool(super().__getitem__(path)) if said is None else said
