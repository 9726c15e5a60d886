"""DVC remotes: what was made here is pushed, pulled into a fresh clone, and not made again there.

    python -m tests.cluster.prove_remotes            (make prove-remotes)
    python -m tests.cluster.prove_remotes --short    with stages that compute nothing

On a copy of this checkout, the smoke profile's Table 2 (one direction, CR-GAN and Direct Transfer),
with a folder and then a local S3-compatible server (moto) as the remote. The clone must hold the
same table, `dvc status` and `dvc repro` must find nothing to do, and Snakemake must take the pulled
files as they are.
"""

from __future__ import annotations

import time
from pathlib import Path

from crgan.common.errors import UserError
from tests.cluster.command import main
from tests.cluster.s3_server import BUCKET, s3_server
from tests.stub_project import SMALL, make, run

STAGE, TABLE = "make_table_2", "results/table2.csv"
SETTINGS = {"profile": "smoke", **SMALL}


def build(folder: Path, stubbed: bool) -> Path:
    """The project with the table made by DVC, committed; its cache is its own."""
    project = make(folder / "origin", SETTINGS, (2,), stubbed=stubbed)
    run(project, "dvc", "repro", "-q", STAGE)
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-qm", "Table 2")
    return project


def carry(project: Path, clone: Path, name: str, settings: dict[str, str], **env: str) -> None:
    """Push to a remote, clone, pull, and look for anything left to do.

    Args:
        settings: options of `dvc remote modify`; `url` is among them.
        env: the remote's environment variables.
    """
    started = time.monotonic()
    remote(project, name, settings)
    pushed = run(project, "dvc", "push", "-r", name, **env).strip().splitlines()[-1]
    run(project.parent, "git", "clone", "-q", str(project), str(clone))
    if (clone / TABLE).exists() or (clone / "artifacts").exists():
        raise UserError(f"{clone} holds results before they were pulled")
    remote(clone, name, settings)
    pulled = run(clone, "dvc", "pull", "-r", name, STAGE, "--with-deps", **env)
    pulled = pulled.strip().splitlines()[-1]
    if (clone / TABLE).read_bytes() != (project / TABLE).read_bytes():
        raise UserError(f"{TABLE} in {clone} is not the one that was pushed")
    expect(run(clone, "dvc", "status", STAGE, "--with-deps"), "up to date")
    repro = run(clone, "dvc", "repro", STAGE)
    if "Running stage" in repro:
        raise UserError(f"dvc repro ran stages after the pull:\n{repro}")
    skipped = repro.count("didn't change, skipping")
    expect(run(clone, "snakemake", "--cores", "1", TABLE), "Nothing to be done")
    print(
        f"{name}: push: {pushed}; fresh clone; pull: {pulled}; dvc status is clean, dvc repro "
        f"skipped all {skipped} stages, snakemake had nothing to do; "
        f"{time.monotonic() - started:.0f} s",
        flush=True,
    )


def remote(project: Path, name: str, settings: dict[str, str]) -> None:
    """Make the remote known in this folder alone (`--local`: .dvc/config.local, not in git)."""
    run(project, "dvc", "remote", "add", "--local", name, settings["url"])
    for key, value in settings.items():
        run(project, "dvc", "remote", "modify", "--local", name, key, value)


def expect(text: str, part: str) -> None:
    """An engine's message must say this."""
    if part not in text:
        raise UserError(f"expected {part!r} in:\n{text}")


def prove(folder: Path, short: bool) -> None:
    """Make the table, then carry it by a folder and by an S3 server."""
    started = time.monotonic()
    project = build(folder, short)
    print(f"dvc repro {STAGE}: {time.monotonic() - started:.0f} s", flush=True)
    carry(project, folder / "from-folder", "folder", {"url": str(folder / "remote")})
    with s3_server(folder) as server:
        settings = {"url": f"s3://{BUCKET}/dvc", "endpointurl": server.url}
        environment = {**server.environment, "PYTHONWARNINGS": "ignore"}
        carry(project, folder / "from-s3", "s3", settings, **environment)
        print(f"  {len(server.names())} objects in the bucket")


if __name__ == "__main__":
    main("prove_remotes", __doc__, "with stages that write digests and compute nothing", prove)
