"""Results that a storage keeps (`--default-storage-provider s3`), for Snakemake to agree with.

What `reconcile` does for files beside the Snakefile, for objects in a bucket. They have no times
that we could set, and the folder that Snakemake runs in knows nothing of who else wrote there; so
the provenance records in the bucket decide alone:

* current: Snakemake's own records of the objects are dropped, and source files do not count by
  their time (the rules mark them `ancient`), so it finds nothing to do;
* stale: Snakemake is told that the job was left incomplete, so it does it again when asked for.

Contents are not read: an object counts as the one recorded if it has the recorded length.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import atomic_path, read_json, sha256_bytes
from crgan.pipeline.copies import MADE
from crgan.pipeline.reconcile import METADATA, Finding, snakemake_record
from crgan.pipeline.records import SUFFIX, Judge, record_path

INCOMPLETE = Path(".snakemake/incomplete")
_OURS = {"external_jobid": None, "stale": True}  # beside Snakemake's own notes of interrupted jobs


@dataclass(frozen=True)
class Kept:
    """One object: its length in bytes and when it was written, in nanoseconds."""

    length: int
    time: int


class Bucket:
    """The default storage of a run.

    Args:
        provider: Snakemake's.
        prefix: of every query, `s3://BUCKET/FOLDER`.

    Attributes:
        copies: the folder in which jobs find their copies.
    """

    def __init__(self, provider: Any, prefix: str) -> None:
        self._provider = provider
        self._prefix = prefix if prefix.endswith("/") else f"{prefix}/"
        self.copies: Path = self._object("x").local_path().parent
        self._records = Path(".scratch/bucket") / sha256_bytes(self._prefix.encode())[:16]

    @classmethod
    def of(cls, workflow: Any) -> Bucket | None:
        """A workflow's default storage; None where it has none."""
        provider = workflow.storage_registry.default_storage_provider
        prefix = workflow.storage_settings.default_storage_prefix
        return None if provider is None else cls(provider, prefix or "")

    def query(self, name: str) -> str:
        """How Snakemake calls the object of a file of the project."""
        return f"{self._prefix}{name}"

    def _object(self, name: str) -> Any:
        return self._provider.object(self.query(name))

    def objects(self, folder: str) -> dict[str, Kept]:
        """{file of the project: what the bucket has of it} below a folder."""
        cache = SimpleNamespace(exists_in_storage={}, mtime={}, size={})
        asyncio.run(self._object(f"{folder}/x").inventory(cache))
        found = {}
        for key, length in cache.size.items():
            name = os.path.relpath(key, self.copies)
            if name.startswith(f"{folder}/"):
                found[name] = Kept(length, int(cache.mtime[key].storage() * 1e9))
        return found

    def reconcile(self, params: dict[str, Any], *, look_only: bool) -> Finding:
        """Judge every recorded output of the present profile and make Snakemake agree.

        Args:
            params: the present parameters.
            look_only: change no file, only say what a real run would find.
        """
        objects = self._of_profile(params["profile"])
        for name, kept in objects.items():
            if name.endswith(SUFFIX):
                self._fetch(name, kept)
        judge = Judge(params, copies=self._records)
        finding = Finding()
        for record, outputs in _jobs(objects).items():
            reasons = (judge.why_stale_elsewhere(name, objects[name].length) for name in outputs)
            reason = next(filter(None, reasons), None)
            notes = [_note(self.query(name)) for name in (*outputs, record)]
            if reason and not all(map(_is_ours, notes)):
                finding.stale.update(dict.fromkeys(outputs, reason))
            if not look_only:
                self._tell([*outputs, record], notes, stale=reason is not None)
        return finding

    def _fetch(self, name: str, kept: Kept) -> None:
        """Bring a record, unless it is here since an earlier run."""
        path = self._records / name
        if path.is_file() and path.stat().st_mtime_ns == kept.time:
            return
        with atomic_path(path) as temporary:
            found = self._object(name)
            found.set_local_path(temporary)
            found.retrieve_object()
            os.utime(temporary, ns=(kept.time, kept.time))

    def _of_profile(self, profile: str) -> dict[str, Kept]:
        """The objects in the profile's folders, and the tables and figures beside them."""
        objects = self.objects(f"artifacts/{profile}") | self.objects("results")
        return {
            name: kept
            for name, kept in objects.items()
            if len(parts := Path(name).parts) == 2 or parts[1] == profile
        }

    def _tell(self, files: list[str], notes: list[Path], *, stale: bool) -> None:
        for name, note in zip(files, notes, strict=True):
            snakemake_record(self.query(name)).unlink(missing_ok=True)
            if stale:
                with atomic_path(note) as temporary:
                    temporary.write_text(json.dumps(_OURS))
            elif _is_ours(note):
                note.unlink()


def _jobs(names: Iterable[str]) -> dict[str, list[str]]:
    """{record: its outputs}; a record that is not there vouches for nothing."""
    jobs: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        if not name.endswith(SUFFIX):
            jobs[record_path(name).as_posix()].append(name)
    return jobs


def _note(query: str) -> Path:
    """Where Snakemake notes that an output may be incomplete."""
    return INCOMPLETE / snakemake_record(query).relative_to(METADATA)


def _is_ours(note: Path) -> bool:
    try:
        return bool(read_json(note) == _OURS)
    except UserError:
        return False


class Lineage:
    """The records behind a score, for the jobs that read them (tables) to be given.

    Beside the Snakefile all records lie there for the looking. From a storage a job gets its
    inputs and nothing else, and what a table says of a score stands in the records of all that the
    score was made from. Snakemake's own rules say what that is.
    """

    def __init__(self, rules: Callable[[], Iterable[Any]], copies: Path) -> None:
        self._rules, self._copies = rules, copies
        self._inputs: dict[str, tuple[str, ...]] = {}

    def of(self, files: Iterable[str]) -> list[str]:
        """The records of these files and of everything they are made from, each once."""
        seen: dict[str, None] = {}
        waiting = list(files)
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen[name] = None
                waiting += self._made_from(name)
        return sorted({record_path(name).as_posix() for name in seen})

    def _made_from(self, name: str) -> tuple[str, ...]:
        """The made files among the inputs of the job that makes a file."""
        if name not in self._inputs:
            self._inputs[name] = tuple(self._look_up(name))
        return self._inputs[name]

    def _look_up(self, name: str) -> Iterator[str]:
        path = (self._copies / name).as_posix()
        for rule in self._rules():
            if rule.is_producer(path):
                for found in rule.expand_input(rule.get_wildcards(path))[0]:
                    given = os.path.relpath(found, self._copies)
                    if given.split("/")[0] in MADE:
                        yield given
                return
        raise UserError(f"{name}: no rule makes it")
