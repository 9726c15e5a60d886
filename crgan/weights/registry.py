"""The registry of pretrained weights (`weights.yaml`): find, list what is missing, fetch.

Nothing here substitutes anything: a file is the recorded one or the answer is an error that says
what to bring, where to put it and which command brings it. Only `fetch` ever uses the network.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import (
    atomic_path,
    load_torch,
    read_json,
    save_torch,
    sha256_bytes,
    sha256_file,
)
from crgan.common.project import project_file
from crgan.common.yaml import parse
from crgan.weights.sources import download_archive, download_url, read_member

REGISTRY = project_file("weights.yaml")
ROOT = Path("resources/weights")


@dataclass(frozen=True)
class Source:
    """One place a weight comes from: an official address, a member of a package's archive, or a
    file of this repository (`shipped`, its path in it)."""

    sha256: str
    url: str = ""
    shipped: str = ""
    package: str = ""
    client: str = ""
    archive: str = ""
    member: str = ""
    member_sha256: str = ""
    convert: str = ""

    @property
    def filename(self) -> str:
        """Name of the file this source delivers, also looked for in the weights' folder."""
        return self.archive or (self.url or self.shipped).rsplit("/", 1)[-1]

    @property
    def result_sha256(self) -> str | None:
        """Hash of the weight file it makes; None where a conversion makes it."""
        return None if self.convert else self.member_sha256 or self.sha256

    def __str__(self) -> str:
        return self.url or self.shipped or f"package {self.package} ({self.client})"


@dataclass(frozen=True)
class Weight:
    """One entry of the registry; `tensors_sha256` identifies a converted file.

    `bring` is for a file that only the user can download: how to get it and make ours of it. Where
    no hash is recorded here, the record that the making leaves beside the file is (see
    `record_beside`).
    """

    name: str
    about: str
    file: str
    version: str
    licence: str
    sources: tuple[Source, ...]
    tensors_sha256: str | None = None
    bring: str = ""


def record_beside(path: str | Path) -> Path:
    """Where a converter records the SHA-256 (key `sha256`) of the weight file it made."""
    return Path(f"{path}.json")


def load_registry(path: str | Path = REGISTRY) -> dict[str, Weight]:
    """Read and check the registry.

    Raises:
        UserError: an unknown or missing key, naming the entry.
    """
    try:
        entries = parse(Path(path).read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; restore it from the repository") from None
    if not isinstance(entries, dict):
        raise UserError(f"{path}: holds no entries by name; restore it from the repository")
    return {name: _weight(name, entry, path) for name, entry in entries.items()}


def weights_path(name: str, root: str | Path = ROOT, registry: str | Path = REGISTRY) -> Path:
    """The file of weight `name` in folder `root`, checked against the registry. Never downloads.

    Raises:
        UserError: unknown name, file absent, or a file that is not the recorded one.
    """
    weight = _lookup(name, registry)
    if message := _problem(weight, Path(root)):
        raise UserError(message)
    return Path(root) / weight.file


def missing(
    names: Iterable[str], root: str | Path = ROOT, registry: str | Path = REGISTRY
) -> list[str]:
    """One message for each named weight that is absent or not the recorded file."""
    problems = (_problem(_lookup(name, registry), Path(root)) for name in names)
    return [message for message in problems if message]


def fetch(name: str, root: str | Path = ROOT, registry: str | Path = REGISTRY) -> Path:
    """Bring weight `name` into folder `root` and return its path; a right file is left alone.

    Tries the sources in order; the file is written whole under its final name or not at all.

    Raises:
        UserError: unknown name, a wrong file in the way, or no source worked (each with its
            reason).
    """
    weight, root = _lookup(name, registry), Path(root)
    target = root / weight.file
    if target.exists() or not weight.sources:
        return weights_path(name, root, registry)
    failures = []
    for source in weight.sources:
        try:
            _make(weight, source, root)
        except UserError as error:
            failures.append(f"  {source}: {error}")
        else:
            return target
    raise UserError(
        "\n".join([f"{name}: no source worked", *failures, _how_to_bring(weight, root)])
    )


def _make(weight: Weight, source: Source, root: Path) -> None:
    """Write the weight's file from one source."""
    from crgan.weights.formats import CONVERTERS, tensors_sha256

    data = _deliver(source, root)
    target = root / weight.file
    if not source.convert:
        with atomic_path(target) as temporary:
            temporary.write_bytes(data)
        return
    state = CONVERTERS[source.convert](data)
    found = tensors_sha256(state)
    if found != weight.tensors_sha256:
        raise UserError(f"converts to tensors {found}, expected {weight.tensors_sha256}")
    save_torch(target, state)


def _deliver(source: Source, root: Path) -> bytes:
    """The bytes of the one file a source holds, every step checked by hash."""
    local = root / source.filename
    if local.is_file():
        _check(local.name, sha256_file(local), source.sha256)
        data = read_member(local, source.member) if source.member else local.read_bytes()
    elif source.shipped:
        data = (REGISTRY.parent / source.shipped).read_bytes()
        _check(source.shipped, sha256_bytes(data), source.sha256)
    elif source.url:
        data = download_url(source.url, root)
        _check(source.filename, sha256_bytes(data), source.sha256)
    else:
        with download_archive(source.client, source.package, source.archive, source.sha256) as path:
            _check(source.archive, sha256_file(path), source.sha256)
            data = read_member(path, source.member)
    if source.member_sha256:
        _check(source.member, sha256_bytes(data), source.member_sha256)
    return data


def _check(name: str, found: str, expected: str) -> None:
    if found != expected:
        raise UserError(f"{name} has SHA-256 {found}, expected {expected}; refused")


def _problem(weight: Weight, root: Path) -> str | None:
    """Why the weight cannot be used from `root`; None when it can."""
    path = root / weight.file
    if not path.is_file():
        return f"{path} is not there: {_how_to_bring(weight, root)}"
    if _is_right(weight, path):
        return None
    return (
        f"{path} is not the recorded file (SHA-256 {sha256_file(path)}): damaged or another "
        f"version. Move it away. {_how_to_bring(weight, root)}"
    )


def _is_right(weight: Weight, path: Path) -> bool:
    if sha256_file(path) in {source.result_sha256 for source in weight.sources}:
        return True
    if weight.tensors_sha256 is None:
        record = record_beside(path)
        return (
            bool(weight.bring)
            and record.is_file()
            and read_json(record).get("sha256") == sha256_file(path)
        )
    import torch

    from crgan.weights.formats import tensors_sha256

    try:
        state = load_torch(path)
    except UserError:
        return False
    if not all(isinstance(value, torch.Tensor) for value in state.values()):
        return False
    return tensors_sha256(state) == weight.tensors_sha256


def _how_to_bring(weight: Weight, root: Path) -> str:
    if weight.bring:
        return f"{weight.name} ({weight.about}; {weight.licence}). {weight.bring.strip()}"
    folder = "" if root == ROOT else f" --root {root}"
    files = "; or ".join(f"{s.filename} from {s}, SHA-256 {s.sha256}" for s in weight.sources)
    return (
        f"{weight.name} ({weight.about}; {weight.licence}). Run `python -m stages.fetch_weights "
        f"{weight.name}{folder}`. Without a network, put one of these into {root} first: {files}."
    )


def _lookup(name: str, registry: str | Path) -> Weight:
    weights = load_registry(registry)
    if name not in weights:
        raise UserError(f"no weights named {name!r}; {registry} has {', '.join(sorted(weights))}")
    return weights[name]


def _weight(name: str, entry: dict[str, Any], path: str | Path) -> Weight:
    try:
        sources = tuple(Source(**source) for source in entry.get("sources", ()))
        weight = Weight(name=name, **{**entry, "sources": sources})
    except (TypeError, KeyError, AttributeError) as error:
        known = ", ".join(field.name for field in fields(Weight) + fields(Source))
        raise UserError(f"{path}: entry {name}: {error}; known keys: {known}") from None
    if bool(sources) == bool(weight.bring):
        raise UserError(f"{path}: entry {name}: either sources, or bring")
    for source in sources:
        archive = (source.package, source.client, source.archive, source.member)
        places = (bool(source.url), bool(source.shipped), all(archive))
        if sum(places) != 1 or any(archive) != all(archive):
            raise UserError(
                f"{path}: entry {name}: a source has either url, or shipped, or all of package, "
                "client, archive and member"
            )
        if source.convert and not weight.tensors_sha256:
            raise UserError(f"{path}: entry {name}: a converted source needs tensors_sha256")
    return weight
