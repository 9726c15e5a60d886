"""What made a file, and whether it still stands.

The outputs of a job have a record beside them: `seed0.pt` and `seed0.csv` share `seed0.prov.json`.
`Auditor` decides from records and contents alone, without either engine's memory, whether an output
is what the present parameters and sources would make: the same parameter slice, the same code, the
same container image if it was made in one, and inputs that are themselves current.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import canonical_json, read_json, sha256_bytes
from crgan.pipeline.containers import identity as image_identity
from crgan.pipeline.hashes import Hashes
from crgan.pipeline.identity import axes_are_known, identity_of
from crgan.pipeline.params import SLICES, digest

MADE = ("artifacts", "results")  # whatever lies here was made by a stage and must have a record
SUFFIX = ".prov.json"
ASIDE = ".stale"  # behind the name of a file that does not stand, see crgan.workflow.adopt


def record_path(output: str | Path) -> Path:
    """Where the record of `output` lies: beside it, under its name without the suffix."""
    return Path(output).with_suffix(SUFFIX)


def aside(path: str | Path) -> Path:
    """Where a file is put that present parameters, code and inputs would not make."""
    return Path(f"{path}{ASIDE}")


def key_of(record: Mapping[str, Any]) -> str:
    """Identity of a computation: stage, cell, parameters, code, inputs, named files, raw data and,
    where it runs in one, container image; not time or machine.
    """
    parts = {k: record[k] for k in ("stage", "cell", "code_sha256", "inputs")}
    parts |= {k: record[k] for k in ("wiring", "files", "raw", "image") if record.get(k)}
    return sha256_bytes(canonical_json({**parts, "params": digest(record["params"])}).encode())


@dataclass
class Auditor:
    """Says of each output why it is stale, or None when it is current.

    Args:
        params: the present parameters (whole file).
        root: the project's folder; records hold paths relative to it.
        hashes: remembered contents; None reads every file once in this auditor's life.
        moved: {path: where it lies}, for one that looks and may not move what it takes for moved.
    """

    params: dict[str, Any]
    root: Path = Path(".")
    hashes: Hashes = field(default_factory=lambda: Hashes(None))
    moved: dict[str, Path] = field(default_factory=dict)
    _outputs: dict[str, str | None] = field(default_factory=dict)
    _records: dict[Path, str | None] = field(default_factory=dict)
    _identities: dict[str, dict[str, Any]] = field(default_factory=dict)
    _images: dict[str, str] = field(default_factory=dict)

    def why_stale(self, output: str | Path) -> str | None:
        """Reason, or None. An output without a record is stale: nothing says what made it."""
        output = str(output)
        if output not in self._outputs:
            self._outputs[output] = self._audit(output)
        return self._outputs[output]

    def why_record_stale(self, record: dict[str, Any]) -> str | None:
        """Why the present parameters, code and inputs would not do the recorded computation again,
        wherever the record and the outputs lie.
        """
        try:
            return self._compare(record)
        except (UserError, *_UNREADABLE) as error:
            return _described(error)

    def forget(self, record: Path) -> None:
        """Another generation of a job's files was put in place."""
        self._records.pop(record, None)
        path = self._at(record)
        outputs = read_json(path)["outputs"] if path.is_file() else {}
        for name in outputs:
            self._outputs.pop(name, None)

    def save(self) -> None:
        """Remember the contents that were read, for the next auditor."""
        self.hashes.save()

    def _at(self, name: str | Path) -> Path:
        return self.root / self.moved.get(str(name), name)

    def _audit(self, output: str) -> str | None:
        if not self._at(output).is_file():
            return "missing"
        try:
            reason = self._changed(output)
            return reason or self._why_recorded_stale(record_path(output))
        except (UserError, *_UNREADABLE) as error:
            return _described(error)

    def _changed(self, output: str) -> str | None:
        """Whether the file is not the one its record speaks of."""
        path = self._at(record_path(output))
        if not path.is_file():
            raise UserError("no provenance record")
        made: dict[str, Any] | None = read_json(path)["outputs"].get(output)
        if made is None:
            raise UserError("not in the provenance record beside it")
        return why_other_content(self._at(output), made, self.hashes)

    def _why_recorded_stale(self, path: Path) -> str | None:
        """`why_record_stale` of the record at a path, each once."""
        if path not in self._records:
            self._records[path] = "depends on itself"  # a forged circle must not recurse for ever
            self._records[path] = self._compare(read_json(self._at(path)))
        return self._records[path]

    def _compare(self, record: dict[str, Any]) -> str | None:
        stage, cell = record["stage"], record["cell"]
        if not axes_are_known(stage, cell):
            return f"its record names a stage or cell that cannot be: {stage!r}, {cell!r}"
        if record["key"] != key_of(record):
            return "its record was changed by hand"
        now = self.identity(record)
        if digest(now["params"]) != digest(record["params"]):
            return f"parameters changed: {_difference(record['params'], now['params'])}"
        if record["code_sha256"] != now["code_sha256"]:
            return "source code changed"
        if record.get("wiring") != now.get("wiring"):
            return f"the matrix changed: {_difference(record.get('wiring'), now.get('wiring'))}"
        if record.get("raw") != now.get("raw"):
            return "raw data changed: files were added, replaced or deleted"
        before, after = record.get("files", {}), now.get("files", {})
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                return f"{name}: changed, a file that the parameters name"
        return (
            self._why_image_stale(record.get("image"))
            or self._why_versions_stale(record)
            or self._why_inputs_stale(record["inputs"])
        )

    def identity(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """What the recorded job would compute now (`crgan.pipeline.identity.identity_of`)."""
        stage, cell = record["stage"], record["cell"]
        # A file belongs to the profile in its path; only what stands outside the profiles' folders
        # (the final tables) belongs to whichever profile is the present one.
        scope = self.params
        if "profile" not in SLICES.get(stage, []):
            scope = {**scope, "profile": cell["profile"]}
        own = {k: record[k] for k in ("wiring", "files", "raw") if k in record}
        key = canonical_json([stage, cell, own])
        if key not in self._identities:
            self._identities[key] = identity_of(stage, scope, cell, self.hashes, record)
        return self._identities[key]

    def _why_image_stale(self, image: dict[str, str] | None) -> str | None:
        """A container's work stands as long as its image does, wherever it is looked at; what was
        made on a host asks for no image.
        """
        if not image:
            return None
        name = image["name"]
        if name not in self._images:
            self._images[name] = image_identity(name)
        if self._images[name] == image["digest"]:
            return None
        return f"image {name} was {_short(image['digest'])}, is {_short(self._images[name])}"

    def _why_versions_stale(self, record: Mapping[str, Any]) -> str | None:
        """With `records.strict_versions`, another version of a library makes another result."""
        strict = (self.params.get("records") or {}).get("strict_versions", False)
        if not strict or record.get("image"):  # an image fixes its libraries, and is compared
            return None
        now = versions()
        for name, before in record["run"]["versions"].items():
            if name in now and now[name] != before:
                return f"made with {name} {before}, here is {now[name]} (records.strict_versions)"
        return None

    def _why_inputs_stale(self, inputs: Mapping[str, str]) -> str | None:
        for name, sha256 in inputs.items():
            reason = self._why_input_stale(name, sha256)
            if reason:
                return f"{name}: {reason}"
        return None

    def _why_input_stale(self, name: str, sha256: str) -> str | None:
        path, file = record_path(name), self._at(name)
        if not self._at(path).is_file():
            if Path(name).parts[0] in MADE:
                return "no provenance record"
            # raw material from outside, not an output of a stage
            if not file.is_file():
                return "missing"
            return None if self.hashes.of(file) == sha256 else "its content changed"
        # An input may have been deleted to save space; its record still says what it was.
        reason = self.why_stale(name) if file.is_file() else self._why_recorded_stale(path)
        if reason:
            return reason
        made = read_json(self._at(path))["outputs"][name]["sha256"]
        return None if made == sha256 else "is no longer the one it was made from"


def why_other_content(path: Path, made: Mapping[str, Any], hashes: Hashes) -> str | None:
    """Why a file is not the one that a record's entry `{sha256, bytes}` speaks of, or None."""
    if path.stat().st_size != made["bytes"]:
        return "its length is not the one recorded"
    return None if hashes.of(path) == made["sha256"] else "its content is not the one recorded"


_PACKAGES = (
    "torch", "torchvision", "lightning-fabric", "numpy", "scipy", "scikit-learn",
    "opencv-python-headless", "h5py", "lpips", "pytorch-fid", "ai-edge-litert",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Installed versions of the libraries that can change a number."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def ancestors(output: str | Path) -> Iterator[dict[str, Any]]:
    """The record of `output` and of everything it was made from, each once.

    Files without a record are raw material and end the walk.
    """
    seen: set[Path] = set()
    waiting = [str(output)]
    while waiting:
        path = record_path(waiting.pop())
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        record = read_json(path)
        yield record
        waiting += record["inputs"]


def mixed_versions(outputs: list[Path]) -> dict[str, list[str]]:
    """Libraries of which several versions went into some files: {library: versions}, sorted.

    Jobs that ran in an image count too: it is the numbers side by side that matter here.
    """
    found: dict[str, set[str]] = {}
    seen: set[str] = set()
    for output in outputs:
        for record in ancestors(output):
            if record["key"] not in seen:
                seen.add(record["key"])
                for name, number in record["run"]["versions"].items():
                    found.setdefault(name, set()).add(number)
    return {name: sorted(numbers) for name, numbers in sorted(found.items()) if len(numbers) > 1}


def all_records(*folders: str | Path, deep: bool = True) -> dict[str, dict[str, Any]]:
    """The record of every output recorded in `folders` (and below, if `deep`): {output: record}."""
    found: dict[str, dict[str, Any]] = {}
    for folder in map(Path, folders):
        pattern = f"*{SUFFIX}"
        for path in sorted(folder.rglob(pattern) if deep else folder.glob(pattern)):
            try:
                record = read_json(path)
                found.update(dict.fromkeys(record["outputs"], record))
            except (UserError, KeyError, TypeError):
                continue  # judged stale when asked for: an unreadable record vouches for nothing
    return found


def relative(path: str | Path) -> str:
    """A path as records name it: relative to the project where it lies inside."""
    name = os.path.relpath(path)
    return os.path.abspath(path) if name.startswith("..") else Path(name).as_posix()


_UNREADABLE = (KeyError, TypeError, AttributeError)


def _described(error: Exception) -> str:
    """A reason to be stale, of what went wrong with a record."""
    unreadable = isinstance(error, _UNREADABLE)
    return f"unreadable provenance record ({error!r})" if unreadable else str(error)


def _short(digest: str) -> str:
    kind, _, value = digest.partition(":")
    return f"{kind}:{value[:12]}"


def _difference(old: Any, new: Any, prefix: str = "") -> str:
    """The first key at which two parameter slices differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if digest(old.get(key)) != digest(new.get(key)):
                return _difference(old.get(key), new.get(key), f"{prefix}{key}.")
    return f"{prefix[:-1]} was {old!r}, is {new!r}"
