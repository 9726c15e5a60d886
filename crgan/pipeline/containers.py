"""Which container image a stage runs in, and what of it enters the stage's record.

`docker/images.lock` holds the digest of every image that was built. An image says of itself, in
`/etc/crgan`, its name and the files it was built from; so a stage knows where it runs however the
container was started (Snakemake's --sdm apptainer, Compose, a cluster).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
LOCK = Path("docker/images.lock")
DOCKERFILE = Path("docker/Dockerfile")
REQUIREMENTS = Path("docker/requirements")
INSIDE = Path("/etc/crgan")

IMAGES = ("data", "training")
# Stages that need no torch; all others run in `training`.
WITHOUT_TORCH = frozenset(
    {
        "prepare_data",
        "draw_datasets",
        "make_table",
        "tabulate_renderings",
        "tabulate_all",
        "tabulate_cmc",
        "bound_table",
        "weigh_claims",
    }
)


def image_of(stage: str) -> str:
    """Name of the image that has what `stage` imports."""
    return "data" if stage in WITHOUT_TORCH else "training"


def read_lock() -> dict[str, Any]:
    """{image: what docker/build recorded of it}; nothing where none was built."""
    path = ROOT / LOCK
    try:
        images = json.loads(path.read_text())["images"]
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: not a lock file of images; write it anew: docker/build") from None
    if not isinstance(images, dict):
        raise UserError(f"{path}: not a lock file of images; write it anew: docker/build")
    return images


def apptainer_file(stage: str) -> str:
    """The file in which `snakemake --sdm apptainer` runs a stage.

    Raises:
        UserError: it was not built.
    """
    name = image_of(stage)
    path = read_lock().get(name, {}).get("sif")
    if path and (ROOT / path).is_file():
        return str(path)
    raise UserError(
        f"--sdm apptainer: {LOCK} names no Apptainer file of image {name!r} that is here; "
        f"run docker/build --sif {name}"
    )


def recipe_files(image: str) -> list[Path]:
    """What decides an image's content, below the project's folder; the base image apart."""
    if image not in IMAGES:
        raise UserError(f"{image!r} is no image; images: {', '.join(IMAGES)}")
    return [DOCKERFILE, REQUIREMENTS / f"{image}.txt"]


def definition(image: str) -> str:
    """Hash of the present definition of an image."""
    return _digest([ROOT / path for path in recipe_files(image)])


def identity(image: str) -> str:
    """What stands in records for an image: its locked digest, or its definition where it has none.

    An image that `docker compose build` made is in no lock file.
    """
    locked = read_lock().get(image)
    return str(locked["digest"]) if locked else f"definition:{definition(image)}"


def inside() -> dict[str, str] | None:
    """Name and identity of the image around this process; None on the host.

    Raises:
        UserError: the image is not the one that docker/images.lock, or the definition, speaks of.
    """
    try:
        name = (INSIDE / "name").read_text().strip()
    except FileNotFoundError:
        return None
    own = _digest([INSIDE / path.name for path in recipe_files(name)])
    locked = read_lock().get(name)
    expected = locked["definition"] if locked else definition(name)
    if own != expected:
        where = LOCK if locked else f"{DOCKERFILE} and {REQUIREMENTS}"
        raise UserError(
            f"this container's image {name!r} was built from other files than {where} speaks of; "
            f"build it again: docker/build {name}"
        )
    return {"name": name, "digest": identity(name)}


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
