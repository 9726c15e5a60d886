"""What made a file, and whether it still stands.

The outputs of a job have a record beside them: `seed0.pt` and `seed0.csv` share `seed0.prov.json`.
`Judge` decides from records and contents alone, without either engine's memory, whether an output
is what the present parameters and sources would make: the same parameter slice, the same code, the
same container image if it was made in one, and inputs that are themselves current.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import canonical_json, read_json, sha256_bytes
from crgan.pipeline import copies
from crgan.pipeline.code import code_digest, code_of
from crgan.pipeline.containers import identity
from crgan.pipeline.copies import MADE
from crgan.pipeline.hashes import Hashes
from crgan.pipeline.params import SLICES, digest, slice_of

SUFFIX = ".prov.json"


def record_path(output: str | Path) -> Path:
    """Where the record of `output` lies: beside it, under its name without the suffix."""
    return copies.place(output).with_suffix(SUFFIX)


def key_of(record: dict[str, Any]) -> str:
    """Identity of a computation: stage, cell, parameters, code, inputs and, where it runs in one,
    container image; not time or machine.
    """
    parts = {k: record[k] for k in ("stage", "cell", "code_sha256", "inputs")}
    if record.get("image"):
        parts["image"] = record["image"]
    return sha256_bytes(canonical_json({**parts, "params": digest(record["params"])}).encode())


@dataclass
class Judge:
    """Says of each output why it is stale, or None when it is current.

    Args:
        params: the present parameters (whole file).
        root: the project's folder; records hold paths relative to it.
        hashes: remembered contents; None reads every file once in this judge's life.
        copies: where made files and their records lie instead, if a storage keeps them.
    """

    params: dict[str, Any]
    root: Path = Path(".")
    hashes: Hashes | None = None
    copies: Path | None = field(default_factory=copies.folder)
    _outputs: dict[str, str | None] = field(default_factory=dict)
    _records: dict[Path, str | None] = field(default_factory=dict)
    _code: dict[tuple[str, str | None], str] = field(default_factory=dict)
    _images: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.hashes = self.hashes or Hashes(None)

    def why_stale(self, output: str | Path) -> str | None:
        """Reason, or None. An output without a record is stale: nothing says what made it."""
        output = copies.project_name(str(output))
        if output not in self._outputs:
            self._outputs[output] = self._judge(output)
        return self._outputs[output]

    def why_stale_elsewhere(self, output: str, length: int) -> str | None:
        """`why_stale` for a file of this length that is not at hand, by its record alone."""
        try:
            reason = _other_length(self._made(output), length)
            return reason or self._why_record_stale(self._record_path(output))
        except (UserError, *_UNREADABLE) as error:
            return _said(error)

    def save(self) -> None:
        """Remember the contents that were read, for the next judge."""
        assert self.hashes is not None
        self.hashes.save()

    def _judge(self, output: str) -> str | None:
        if not self._at(output).is_file():
            return "missing"
        try:
            reason = self._changed(output)
            return reason or self._why_record_stale(self._record_path(output))
        except (UserError, *_UNREADABLE) as error:
            return _said(error)

    def _changed(self, output: str) -> str | None:
        """Whether the file is not the one its record speaks of."""
        made = self._made(output)
        reason = _other_length(made, self._at(output).stat().st_size)
        if reason is None and self._hash(output) != made["sha256"]:
            reason = "its content is not the one recorded"
        return reason

    def _made(self, output: str) -> dict[str, Any]:
        """What the record beside an output says of it."""
        path = self._record_path(output)
        if not path.is_file():
            raise UserError("no provenance record")
        made: dict[str, Any] | None = read_json(path)["outputs"].get(output)
        if made is None:
            raise UserError("not in the provenance record beside it")
        return made

    def _at(self, name: str) -> Path:
        """Where a file lies that records name so."""
        placed = copies.place(name, self.copies)
        return placed if placed != Path(name) else self.root / name

    def _record_path(self, name: str) -> Path:
        return self._at(name).with_suffix(SUFFIX)

    def _why_record_stale(self, path: Path) -> str | None:
        """Why the present parameters and sources would not do the recorded computation again."""
        if path not in self._records:
            self._records[path] = "depends on itself"  # a forged circle must not recurse for ever
            self._records[path] = self._compare(read_json(path))
        return self._records[path]

    def _compare(self, record: dict[str, Any]) -> str | None:
        stage, cell = record["stage"], record["cell"]
        # A file belongs to the profile in its path; only what stands outside the profiles' folders
        # (the final tables) belongs to whichever profile is the present one.
        scope = self.params
        if "profile" not in SLICES.get(stage, []):
            scope = {**scope, "profile": cell["profile"]}
        now = slice_of(stage, scope, **{k: v for k, v in cell.items() if k != "profile"})
        if digest(now) != digest(record["params"]):
            return f"parameters changed: {_difference(record['params'], now)}"
        if record["code_sha256"] != self._code_digest(stage, cell.get("model")):
            return "source code changed"
        reason = self._why_image_stale(record.get("image"))
        if reason:
            return reason
        for name, sha256 in record["inputs"].items():
            reason = self._why_input_stale(name, sha256)
            if reason:
                return f"{name}: {reason}"
        return None

    def _why_image_stale(self, image: dict[str, str] | None) -> str | None:
        """A container's work stands as long as its image does, wherever it is looked at; what was
        made on a host asks for no image.
        """
        if not image:
            return None
        name = image["name"]
        if name not in self._images:
            self._images[name] = identity(name)
        if self._images[name] == image["digest"]:
            return None
        return f"image {name} was {_short(image['digest'])}, is {_short(self._images[name])}"

    def _why_input_stale(self, name: str, sha256: str) -> str | None:
        path = self._record_path(name)
        if not path.is_file():
            if Path(name).parts[0] in MADE:
                return "no provenance record"
            # raw material from outside, not an output of a stage
            if not self._at(name).is_file():
                return "missing"
            return None if self._hash(name) == sha256 else "its content changed"
        # An input may have been deleted to save space; its record still says what it was.
        there = self._at(name).is_file()
        reason = self.why_stale(name) if there else self._why_record_stale(path)
        if reason:
            return reason
        made = read_json(path)["outputs"][name]["sha256"]
        return None if made == sha256 else "is no longer the one it was made from"

    def _hash(self, name: str) -> str:
        assert self.hashes is not None
        return self.hashes.of(self._at(name))

    def _code_digest(self, stage: str, model: str | None) -> str:
        if (stage, model) not in self._code:
            self._code[stage, model] = code_digest(code_of(stage, model))
        return self._code[stage, model]


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
    if name.startswith(".."):
        return os.path.abspath(path)
    return copies.project_name(Path(name).as_posix())


_UNREADABLE = (KeyError, TypeError, AttributeError)


def _said(error: Exception) -> str:
    """A reason to be stale, of what went wrong with a record."""
    unreadable = isinstance(error, _UNREADABLE)
    return f"unreadable provenance record ({error!r})" if unreadable else str(error)


def _other_length(made: dict[str, Any], length: int) -> str | None:
    return None if length == made["bytes"] else "its length is not the one recorded"


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
