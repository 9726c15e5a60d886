"""What each image installs, derived: imports of its stages, pinned by requirements.lock.

python -m crgan.containers.requirements            write docker/requirements/*.txt
python -m crgan.containers.requirements --check    only say whether they are fresh

The stages' files say what is imported, the installed packages say which distribution that is and
what it needs in turn, and requirements.lock says the version. Nothing is listed by hand.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from crgan.common.errors import UserError
from crgan.common.io import atomic_path
from crgan.pipeline.code import METHOD_FOLDER, ROOT, code_of, imported_modules, project_files
from crgan.pipeline.containers import LAYERS, REQUIREMENTS, STAGES, image_of
from crgan.pipeline.params import SLICES

SHARED = ("torch", "torchvision")  # the layer under every image that computes with torch
TOPS = Path("requirements.in")
PINS = Path("requirements.lock")
OPTIONAL = {"dvclive"}  # a log that a user may install beside the project (crgan.pipeline.progress)
_DEVELOPMENT = "# development"
# What an image is: Linux, CPython 3.11, the GPU machines' architecture; lock lines for other
# machines are left out.
MACHINE = {
    "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix",
    "platform_machine": "x86_64", "implementation_name": "cpython",
    "platform_python_implementation": "CPython", "python_version": "3.11",
    "python_full_version": "3.11.0",
}  # fmt: skip


def texts() -> dict[str, str]:
    """{layer: text of its requirement file}, for every layer of `LAYERS`."""
    found: dict[str, str] = {}
    below: dict[str, set[str]] = {}
    for image, layers in LAYERS.items():
        under: set[str] = set()
        for layer in layers:
            tops, imports = _tops(layer)
            below[layer] = closure(tops) - under
            found[layer] = _text(layer, imports, below[layer])
            under |= below[layer]
        assert layers[-1] == image
    return found


def imports_of(image: str) -> set[str]:
    """Third-party modules that the stages of an image import, anywhere in their files."""
    stages = [s for s in SLICES if image_of(s) == image]
    assert set(STAGES) <= set(SLICES), "STAGES names a stage that is none"
    found: set[str] = set()
    for stage in stages:
        own = _third_party(_stage_files(stage))
        shared = _third_party(_with_run(_stage_files(stage)))
        # crgan/run touches torch only on behalf of stages that do so themselves.
        found |= own | (shared if "torch" in own else shared - set(SHARED))
    return found - OPTIONAL


def closure(tops: Iterable[str]) -> set[str]:
    """Distributions with all they need, by the metadata of the installed ones."""
    found: set[str] = set()
    queue = [Requirement(top) for top in tops]
    seen: set[str] = set()
    while queue:
        wanted = queue.pop()
        name = canonicalize_name(wanted.name)
        found.add(name)
        for extra in ("", *sorted(wanted.extras)):
            if f"{name}[{extra}]" in seen:
                continue
            seen.add(f"{name}[{extra}]")
            needs = [Requirement(text) for text in _requires(name)]
            queue += [
                need
                for need in needs
                if need.marker is None or need.marker.evaluate({**MACHINE, "extra": extra})
            ]
    return found


def pins() -> dict[str, str]:
    """{distribution: version} of requirements.lock, for the machine of the images."""
    found = {}
    for line in (ROOT / PINS).read_text().splitlines():
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate(dict(MACHINE)):
            found[str(canonicalize_name(wanted.name))] = str(wanted.specifier).removeprefix("==")
    return found


def _tops(layer: str) -> tuple[list[str], set[str]]:
    """Distributions a layer is asked for, and the modules they are imported as."""
    if layer == "torch":
        return list(SHARED), set(SHARED)
    if layer == "pipeline":  # both engines, and whatever the project uses outside stages
        used = (ROOT / TOPS).read_text().partition(_DEVELOPMENT)[0].splitlines()
        lines = [line.partition("#")[0].strip() for line in used]
        return [line for line in lines if line], {"snakemake", "dvc"}
    imports = imports_of(layer)
    return sorted({_distribution(module) for module in imports}), imports


def _distribution(module: str) -> str:
    declared = {
        canonicalize_name(Requirement(line.partition("#")[0]).name)
        for line in (ROOT / TOPS).read_text().splitlines()
        if line.partition("#")[0].strip()
    }
    owners = {canonicalize_name(name) for name in _distributions().get(module, [])} & declared
    if len(owners) != 1:
        raise UserError(f"{module}: imported by a stage, and {TOPS} names no one package for it")
    return owners.pop()


def _text(layer: str, imports: set[str], names: set[str]) -> str:
    versions = pins()
    unpinned = sorted(names - set(versions))
    if unpinned:
        raise UserError(f"{PINS} does not pin {', '.join(unpinned)}; run make lock")
    lines = [
        "# Written by python -m crgan.containers.requirements from the stages' imports and",
        "# requirements.lock; docker/health.py imports the modules named here.",
        f"# imports: {' '.join(sorted(imports))}",
        *(f"{name}=={versions[name]}" for name in sorted(names)),
    ]
    return "\n".join(lines) + "\n"


def _stage_files(stage: str) -> set[str]:
    """The files of a stage, of all its methods."""
    models: list[str | None] = [None]
    if stage in METHOD_FOLDER:
        folder = ROOT / METHOD_FOLDER[stage]
        models = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
    return {name for model in models for name in code_of(stage, model) if name.endswith(".py")}


def _with_run(files: set[str]) -> set[str]:
    """The files and what they import of crgan/run, however deep."""
    found: set[str] = set()
    queue = list(files)
    while queue:
        name = queue.pop()
        if name in found:
            continue
        found.add(name)
        queue += [f for m in imported_modules(name) for f in project_files(m)]
    return found


@cache
def _third_party_of(name: str) -> frozenset[str]:
    tops = {module.partition(".")[0] for module in imported_modules(name)}
    return frozenset(tops - set(sys.stdlib_module_names) - {"crgan", "stages", ""})


def _third_party(files: set[str]) -> set[str]:
    return {module for name in files for module in _third_party_of(name)}


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


@cache
def _requires(name: str) -> tuple[str, ...]:
    try:
        return tuple(requires(name) or ())
    except PackageNotFoundError:
        raise UserError(f"{name} is not installed; run make env") from None


def main(argv: list[str] | None = None) -> None:
    """Write the files or check them; status 1 when they are not fresh."""
    parser = argparse.ArgumentParser(
        prog="python -m crgan.containers.requirements",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args(argv)
    try:
        wanted = {ROOT / REQUIREMENTS / f"{layer}.txt": text for layer, text in texts().items()}
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    old = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    if args.check and old:
        print(f"not fresh: {', '.join(path.name for path in old)}; run {parser.prog}")
        raise SystemExit(1)
    for path in old:
        with atomic_path(path) as temporary:
            temporary.write_text(wanted[path])
    print(f"{REQUIREMENTS}: {len(old)} of {len(wanted)} files written" if old else "fresh")


if __name__ == "__main__":
    main()
