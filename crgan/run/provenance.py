"""What made a file, and whether it still stands.

Every output has a record beside it, `<output>.prov.json`. `Judge` decides from records alone,
without either engine's memory, whether an output is what the present parameters and sources
would make: the same parameter slice, the same code, and inputs that are themselves current.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crgan.run.code import code_digest, code_of
from crgan.run.errors import UserError
from crgan.run.io import canonical_json, read_json, sha256_bytes
from crgan.run.params import SLICES, digest, slice_of

SUFFIX = ".prov.json"


def record_path(output: str | Path) -> Path:
    """Where the record of `output` lies."""
    return Path(f"{output}{SUFFIX}")


def key_of(record: dict[str, Any]) -> str:
    """Identity of a computation: stage, cell, parameters, code and inputs; not time or machine."""
    parts = {k: record[k] for k in ("stage", "cell", "params", "code_sha256", "inputs")}
    return sha256_bytes(canonical_json(parts).encode())


@dataclass
class Judge:
    """Says of each output why it is stale, or None when it is current.

    Args:
        params: the present parameters (whole file).
        root: the project's folder; records hold paths relative to it.
    """

    params: dict[str, Any]
    root: Path = Path(".")
    _memo: dict[str, str | None] = field(default_factory=dict)

    def why_stale(self, output: str) -> str | None:
        """Reason, or None. An output without a record is stale: nothing says what made it."""
        output = str(output)
        if output not in self._memo:
            self._memo[output] = "depends on itself"  # a broken record must not recurse for ever
            self._memo[output] = self._judge(output)
        return self._memo[output]

    def _judge(self, output: str) -> str | None:
        if not (self.root / output).is_file():
            return "missing"
        path = record_path(self.root / output)
        if not path.is_file():
            return "no provenance record"
        try:
            record = read_json(path)
            return self._compare(output, record)
        except UserError as error:
            return str(error)
        except (KeyError, TypeError) as error:
            return f"unreadable provenance record ({error!r})"

    def _compare(self, output: str, record: dict[str, Any]) -> str | None:
        if (self.root / output).stat().st_size != record["outputs"][output]["bytes"]:
            return "its length is not the one recorded"
        cell = record["cell"]
        # A file belongs to the profile in its path; only what stands outside the profiles' folders
        # (the final tables) belongs to whichever profile is the present one.
        scope = self.params
        if "profile" not in SLICES[record["stage"]]:
            scope = {**scope, "profile": cell["profile"]}
        now = slice_of(record["stage"], scope, **{k: v for k, v in cell.items() if k != "profile"})
        if digest(now) != digest(record["params"]):
            return f"parameters changed: {_difference(record['params'], now)}"
        if record["code_sha256"] != code_digest(code_of(record["stage"], cell.get("model"))):
            return "source code changed"
        for name, sha256 in record["inputs"].items():
            if not record_path(self.root / name).is_file():
                continue  # raw material from outside, not an output of a stage
            reason = self.why_stale(name)
            if reason:
                return f"{name}: {reason}"
            made = read_json(record_path(self.root / name))["outputs"][name]["sha256"]
            if made != sha256:
                return f"{name} is no longer the one it was made from"
        return None


def all_records(*folders: str | Path) -> dict[str, dict[str, Any]]:
    """Every readable record below `folders`: {output: record}."""
    found = {}
    for folder in folders:
        for path in sorted(Path(folder).rglob(f"*{SUFFIX}")):
            try:
                found[str(path)[: -len(SUFFIX)]] = read_json(path)
            except UserError:
                continue  # judged stale when asked for: an unreadable record vouches for nothing
    return found


def _difference(old: Any, new: Any, prefix: str = "") -> str:
    """The first key at which two parameter slices differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                return _difference(old.get(key), new.get(key), f"{prefix}{key}.")
    return f"{prefix[:-1]} was {old!r}, is {new!r}"
