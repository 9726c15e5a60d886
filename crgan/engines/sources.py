"""The source files behind each stage, as files that DVC can depend on.

Snakemake asks `code_of` for a job's source files. DVC cannot call Python, and the lists would make
dvc.yaml and dvc.lock long (DVC writes its lock file anew after each stage). So DVC has one stage
more: `list_sources` depends on the folders crgan and stages, takes a moment, and writes for each
stage (and each method of it) the files behind it with their hashes. Stages depend on their list,
which changes when one of these files does. Being first, it also says what is missing.

Where stages run in containers (CRGAN_RUNTIME), the list of a stage ends with its image's digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crgan.run import images
from crgan.run.code import FIXED_MODEL, METHOD_FOLDER, ROOT, code_of
from crgan.run.io import atomic_path, sha256_file
from crgan.run.params import SLICES

FOLDER = Path("artifacts/sources")
# Where the methods of a stage stand in the matrix.
GROUPS = {
    "train_gan": "gan",
    "train_translation": "translators",
    "render_set": "rendered",
    "finetune": "gan",
    "adapt": "adapt",
    "handcraft": "handcrafted",
    "measure_images": "visual",
    "judge_images": "visual",
}
WITHOUT_METHOD = ("finetune",)  # on a stored set it loads no method


def listings(params: Mapping[str, Any]) -> dict[str, str]:
    """{name below `FOLDER`: text}, for every stage and every method of the matrix."""
    matrix = params["matrix"]
    found = {}
    for stage in SLICES:
        by_method = stage in METHOD_FOLDER and stage not in FIXED_MODEL
        if by_method:
            for model in sorted({cell["model"] for cell in matrix[GROUPS[stage]]}):
                found[f"{stage}/{model}.txt"] = _listing(code_of(stage, model), stage)
        if not by_method or stage in WITHOUT_METHOD:
            found[f"{stage}.txt"] = _listing(code_of(stage), stage)
    return found


def write(params: Mapping[str, Any], folder: Path = FOLDER) -> None:
    """Write the listings, and remove those of methods that are no more."""
    texts = listings(params)
    for path in sorted(folder.rglob("*.txt")):
        if path.relative_to(folder).as_posix() not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.is_file() or path.read_text() != text:
            with atomic_path(path) as temporary:
                temporary.write_text(text)


def _listing(files: list[str], stage: str) -> str:
    image = images.around(stage)
    last = f"{image['digest']}  image {image['name']}\n" if image else ""
    return "".join(f"{sha256_file(ROOT / name)}  {name}\n" for name in files) + last
