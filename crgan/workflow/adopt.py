"""Before Snakemake looks at the files: what does not stand is put aside, what stands is adopted.

Snakemake decides by modification times and by its own notes of each path. Both are blind to a
second program: `dvc checkout`, `dvc pull` and `git checkout` replace files, and Snakemake then
trusts a result of other parameters, or reruns one that is right. So the provenance records decide
(`crgan.pipeline.records.Auditor`), and Snakemake is told so by what anybody may do:

* An output that does not stand is put aside, with its record: `x.pt` becomes `x.pt.stale`, and
  Snakemake makes what is missing. Where parameters go back, it is put back. Only names in folders
  change, so it is all the same whether DVC made the file a copy or a link into its cache.
* An output that stands is adopted, with what was made from it, where Snakemake did not make it here
  or an input looks newer: `snakemake --touch`, which renews times and notes.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from crgan.common.errors import UserError
from crgan.common.io import canonical_json, sha256_bytes
from crgan.common.project import project_file
from crgan.pipeline import code
from crgan.pipeline.hashes import Hashes
from crgan.pipeline.records import ASIDE, Auditor, aside, why_other_content
from crgan.pipeline.spared import remember, remembered
from crgan.workflow.generations import FOLDERS, Job, in_order, jobs_of, outputs_at

MADE = Path(".scratch/made.json")  # what Snakemake's runs here made: {record: digest}
LOCK = Path(".scratch/run.lock")
NOWHERE = Path(os.devnull)  # no file lies there
_held: list[TextIO] = []  # the lock, as long as this process lives


@dataclass
class Finding:
    """What was found, and (unless only looking) done.

    Attributes:
        stale: {output: reason}, of those that were in place.
        restored: outputs of an earlier time that stand again.
        adopted: current outputs that Snakemake did not make here.
    """

    stale: dict[str, str] = field(default_factory=dict)
    restored: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)

    def message(self, real: bool = True) -> str | None:
        """What to tell the user, None when there is nothing to say.

        Args:
            real: whether it was done; a dry run's plan is made as if it were.
        """
        lines = []
        if self.adopted:
            lines.append(
                f"{len(self.adopted)} outputs are current though made elsewhere or by DVC: kept"
            )
        if self.restored:
            lines.append(f"{len(self.restored)} earlier outputs stand again: taken back")
        if self.stale:
            name, reason = next(iter(self.stale.items()))
            folders = Counter("/".join(Path(name).parent.parts[:3]) for name in self.stale)
            lines.append(
                f"{len(self.stale)} outputs do not stand and will be made again when asked for "
                f"({', '.join(f'{n} in {folder}' for folder, n in folders.items())}), "
                f"for example {name}: {reason}"
            )
        if lines and not real:
            lines.append("Nothing was changed yet: a run does this first, and a plan counts it.")
        return "\n".join(lines) or None


def before_run(params: dict[str, Any], config: Mapping[str, Any], *, real: bool) -> Finding:
    """What the Snakefile calls when it is read.

    Args:
        config: Snakemake's, as the command line gave it.
        real: jobs are about to run. Else nothing is changed, and `--touch` (this module's own
            call of Snakemake) looks at nothing.
    """
    if not real:
        return Finding() if "--touch" in sys.argv else adopt(params, look_only=True)
    try:
        _lock()
        # crgan.report.verify, whose inputs are checked links
        if os.environ.get("CRGAN_NOT_AUDITED"):
            return Finding()
        for folder in FOLDERS:
            Path(folder.format(params["profile"])).mkdir(parents=True, exist_ok=True)
        return adopt(params, config)
    except PermissionError as error:
        raise _of_another(error) from None


def adopt(
    params: dict[str, Any],
    config: Mapping[str, Any] | None = None,
    *,
    look_only: bool = False,
    touch: Callable[[Sequence[str], Mapping[str, Any]], None] | None = None,
) -> Finding:
    """Compare every output of the present profile with its record and make Snakemake agree.

    Args:
        params: the present parameters.
        config: what `snakemake --config` was given, if they are not those of params.yaml.
        look_only: change no file, only say what a real run would find.
        touch: has Snakemake take outputs for its own; `snakemake_touch` unless given.

    Raises:
        UserError: files that cannot be renamed or touched, naming one of them.
    """
    auditor = Auditor(params, hashes=Hashes())
    finding = Finding()
    made = remembered(MADE)  # lost, it costs adopting what was made here
    foreign: set[str] = set()
    adopted: list[str] = []
    try:
        ordered = in_order(jobs_of(params))
        for job in ordered:
            back = _settle(job, auditor, finding, look_only)
            if not job.stands:
                continue
            noted = made.get(str(job.path)) == _digest(job, auditor)
            unlike = look_only and back  # what lies there, and its times, are another generation's
            if not noted or unlike or job.looks_old or not foreign.isdisjoint(job.inputs):
                foreign |= set(job.outputs)
                adopted += [name for name in job.outputs if Path(name).is_file()]
        finding.adopted = adopted
        if adopted and not look_only:
            (touch or snakemake_touch)(adopted, config or {})
            _note(auditor, [job for job in ordered if job.stands])
    except PermissionError as error:
        raise _of_another(error) from None
    if not look_only:
        auditor.save()
        code.save()
    return finding


def _of_another(error: PermissionError) -> UserError:
    return UserError(
        f"{error.filename}: {error.strerror}; it belongs to another user. Work in a clone of your "
        "own, or have its owner run: chmod -R g+w artifacts results .scratch .snakemake"
    )


def note_made(params: Mapping[str, Any]) -> None:
    """Note what Snakemake's run made. One that is killed notes nothing, and the next one adopts
    what it made.
    """
    _note(Auditor(dict(params), hashes=Hashes()), jobs_of(params))


def _digest(job: Job, auditor: Auditor) -> str | None:
    """Of a record, and of what Snakemake is told of the job now; None of one that says nothing."""
    try:
        record = job.record or {}
        return sha256_bytes(canonical_json([record, auditor.identity(record)]).encode())
    except (UserError, KeyError, TypeError, AttributeError):
        return None


def _settle(job: Job, auditor: Auditor, finding: Finding, look_only: bool) -> bool:
    """Put in place the generation that stands, if one does, and aside the one that does not; with
    `look_only`, have the auditor take it for done.

    Returns:
        Whether an earlier generation was taken back.
    """
    present = [name for name in job.outputs if Path(name).is_file()]
    if present:
        reason = next(filter(None, map(auditor.why_stale, present)), None)
    elif job.record is not None:  # outputs deleted to save space
        reason = auditor.why_record_stale(job.record)
    else:
        reason = "missing"
    if reason is None:
        job.stands = bool(present)
        return False
    back = job.earlier is not None and _stands_aside(job, auditor)
    earlier = outputs_at(job.earlier or {}, job.path)
    if back:
        finding.restored += earlier
    else:
        finding.stale.update(dict.fromkeys(present, reason))
    returning = [*earlier, str(job.path)] if back else []
    if look_only:
        auditor.moved.update((str(path), NOWHERE) for path in job.files)
        auditor.moved.update((name, aside(name)) for name in returning)
    else:
        _swap(job, returning, auditor.hashes)
    auditor.forget(job.path)
    if back:
        job.record = job.earlier
        job.outputs = tuple(earlier)
        job.stands = True
    return back


def _stands_aside(job: Job, auditor: Auditor) -> bool:
    """Whether the generation that was put aside is whole and current."""
    record = job.earlier or {}
    outputs = record.get("outputs", {})
    for name in outputs_at(record, job.path):
        path = aside(name)
        if not path.is_file() or why_other_content(path, outputs[name], auditor.hashes):
            return False
    return auditor.why_record_stale(record) is None


def _swap(job: Job, names: Sequence[str], hashes: Hashes) -> None:
    """What is in place goes aside; what was aside under these names goes back, or is replaced."""
    leaving, returning = job.files, [Path(name) for name in names]
    for path in leaving:
        if path in returning:
            os.rename(path, f"{path}{ASIDE}.new")
        else:
            _rename(path, aside(path), hashes)
    for path in returning:
        _rename(aside(path), path, hashes)
    for path in leaving:
        if path in returning:
            os.rename(f"{path}{ASIDE}.new", aside(path))


def _rename(old: Path, new: Path, hashes: Hashes) -> None:
    """Rename, and take along what is known of the content."""
    sha256 = hashes.of(old) if old.is_file() else None
    os.rename(old, new)
    if sha256:
        hashes.note(new, sha256)


def snakemake_touch(outputs: Sequence[str], config: Mapping[str, Any]) -> None:
    """Have Snakemake take these files for its own: `--touch` renews its notes of parameters too.

    Raises:
        UserError: it failed.
    """
    given = [f"{key}={json.dumps(value)}" for key, value in config.items()]
    own = any(Path(name).is_file() for name in ("Snakefile", "workflow/Snakefile"))
    snakefile = [] if own else ["--snakefile", str(project_file("Snakefile"))]
    command = [
        sys.executable, "-m", "snakemake", "--touch", "--force", "--nolock", "--cores", "1",
        "--quiet", "all", "--ignore-incomplete", *snakefile,
        *(["--config", *given] if given else []), "--", *outputs,
    ]  # fmt: skip
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-8:])
        raise UserError(f"snakemake --touch of {len(outputs)} current outputs failed:\n{last}")


def _note(auditor: Auditor, jobs: Iterable[Job]) -> None:
    remember(MADE, {str(job.path): found for job in jobs if (found := _digest(job, auditor))})


def _lock() -> None:
    """Hold the folder until this process ends: another run may not rename what this one reads.

    Snakemake has a lock too, but takes it only when it has looked at the files.
    """
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    file = LOCK.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError("another snakemake runs in this folder; wait for it to end") from None
    except OSError:
        pass  # a file system without locks: Snakemake's own must do
    _held.append(file)
