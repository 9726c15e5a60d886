"""One command from a folder of cameras to a model: `crgan adapt`.

Snakemake does the work, by the project's own rules, in `<out>/.work`: what is there already is not
made again, so a run that was cut short goes on, and ends in the same bytes.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

import crgan
from crgan.common.errors import UserError
from crgan.common.io import atomic_path, read_json, save_torch
from crgan.deploy.site import Site, look_at

if TYPE_CHECKING:
    from crgan.deploy.plan import Plan

WORK = ".work"


@dataclass(frozen=True)
class Adapted:
    """The files of an adaptation."""

    onnx: Path
    pt: Path
    card: Path
    report: Path


def adapt(
    target: str | Path,
    out: str | Path,
    *,
    source: str = "generated",
    method: str = "crgan",
    profile: str = "demo",
    start: str | Path | None = None,
    masks: str | None = None,
    cores: int | None = None,
) -> Adapted:
    """Adapt a re-id CNN to one's own cameras, without labels of them.

    Args:
        target: `<camera>/*.jpg`, crops of one person each; folders in camera folders are allowed.
        out: where the model, its card and the report go; the work stays in `.work` there.
        source: a labelled data set by its name in params.yaml, a folder of one, or `generated`,
            the generated benchmark, for a try without data.
        method: crgan, crgan+cluster_contrast (trains on the target's images as well), or direct
            (the source's CNN as it is, to compare with).
        profile: scale: demo (minutes), or another of params.yaml.
        start: a model.pt or re-id file whose network D_id starts from.
        masks: a mask backend; the profile's by default, but `mediapipe_pose` for `jppnet`.
        cores: for Snakemake; all by default.

    Returns:
        The files.

    Raises:
        UserError: a folder that will not do, with what to do; or a job that failed.
    """
    site = look_at(target)  # before what takes seconds to load
    from crgan.common.yaml import parse
    from crgan.deploy.plan import plan

    out, project = Path(out), project_folder()
    params = parse((project / "params.yaml").read_text(encoding="utf-8"))
    what = plan(
        params, site.root, source=source, method=method, profile=profile, project=project,
        masks=masks,
    )  # fmt: skip
    work = out / WORK
    with only_one(work):
        if start is not None:
            _start_from(Path(start), what, work)
        set_up(work, project, what)
        run_snakemake(work, project, [what.criteria(m) for m in what.methods], cores)
    return finish(what, site, out)


def project_folder() -> Path:
    """The checkout whose rules are run.

    Raises:
        UserError: this is no checkout.
    """
    folder = Path(crgan.__file__).resolve().parents[1]
    if not (folder / "Snakefile").is_file() or not (folder / "params.yaml").is_file():
        raise UserError(
            f"{folder} has no Snakefile: crgan adapt runs the project's rules, so install the "
            "checkout with `pip install -e .` and keep it"
        )
    return folder


@contextmanager
def only_one(work: Path) -> Iterator[None]:
    """One run at a time in a work folder; another one is waited for.

    Snakemake holds the lock too, since it may outlive a command that was killed.
    """
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "run.lock", "w") as lock:
        os.set_inheritable(lock.fileno(), True)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write(f"{work}: an earlier run is still at work here; waiting for its end\n")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def set_up(work: Path, project: Path, what: Plan) -> None:
    """The work folder: parameters, and links to the project's rules and to what they read."""
    weights = "resources/weights"
    names = [
        "Snakefile",
        "workflow",
        "reported",
        *([weights] if (project / weights).is_dir() else []),
    ]
    for name in names:
        link, place = work / name, project / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink() and link.readlink() != place:  # the project was moved
            link.unlink()
        if not link.exists():
            link.symlink_to(place)
    text = yaml.safe_dump(what.params, sort_keys=False)
    path = work / "params.yaml"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def run_snakemake(work: Path, project: Path, targets: Sequence[str], cores: int | None) -> None:
    """Run the project's rules in the work folder; Snakemake shows progress and the time left.

    Raises:
        UserError: a job failed; Snakemake has said which, with the end of its log.
    """
    paths = os.environ.get("PYTHONPATH", "")
    environment = {k: v for k, v in os.environ.items() if k != "CRGAN_PARAMS"}
    environment["PYTHONPATH"] = f"{project}{os.pathsep}{paths}" if paths else str(project)
    base = [sys.executable, "-m", "snakemake", "--cores", str(cores or "all")]
    locks = work / ".snakemake" / "locks"
    if locks.is_dir() and any(locks.iterdir()):  # of a run that was killed: we have `only_one`
        subprocess.run(
            [*base, "--unlock"], cwd=work, env=environment, check=False, capture_output=True
        )
    # a session of its own, so that Snakemake and its jobs can be stopped together
    running = subprocess.Popen(
        [*base, *targets], cwd=work, env=environment, close_fds=False, start_new_session=True
    )
    try:
        with stopped_by_sigterm():
            status = running.wait()
    except BaseException:
        os.killpg(running.pid, signal.SIGINT)
        running.wait()
        raise
    if status:
        raise UserError(
            f"a job failed; its log is below {work / 'logs'}. What is done is kept: mend the cause "
            "and give the same command again"
        )


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM ends this process as Ctrl-C does, cleaning up on the way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def reid_file(work: Path, criteria: str) -> Path:
    """The re-id file that criteria were measured on, by the record beside them."""
    record = read_json(work / Path(criteria).with_suffix(".prov.json"))
    models = [work / name for name in record["inputs"] if name.endswith(".pt")]
    if len(models) != 1:
        raise UserError(f"{work / criteria}: its record names {len(models)} models; make it again")
    return models[0]


def finish(what: Plan, site: Site, out: Path) -> Adapted:
    """Export the adapted CNN, and write card and report."""
    from crgan.data.store import open_dataset
    from crgan.deploy.card import write_card
    from crgan.deploy.export import export
    from crgan.deploy.plan import SITE
    from crgan.deploy.report import write_report

    work = out / WORK
    reid = {method: reid_file(work, what.criteria(method)) for method in what.methods}
    criteria = {method: read_json(work / what.criteria(method)) for method in what.methods}
    images = open_dataset(work / what.manifest(SITE)).split("train").images
    pt, onnx = export(
        reid[what.method], out, provenance=what.provenance(site), probes=list(images[:16])
    )
    write_card(out / "card.md", what, site, work, criteria, pt)
    write_report(out / "report.html", what, list(site.cameras), work, reid, criteria)
    return Adapted(onnx, pt, out / "card.md", out / "report.html")


def _start_from(start: Path, what: Plan, work: Path) -> None:
    """Have D_id start from a network's backbone: its weights, its kind and its image size."""
    from crgan.deploy.model import read_model
    from crgan.deploy.plan import START

    net, about = read_model(start)
    state = {k: v.contiguous() for k, v in net.backbone.state_dict().items()}
    save_torch(work / START, state)
    profile = what.params["profiles"][what.profile]
    profile["weights"] = {**profile["weights"], "backbone": START}
    profile["cnn"] = {**profile["cnn"], "backbone": net.backbone_name, "width": net.width,
                      "last_stride": net.last_stride}  # fmt: skip
    size = [about["height"], about["width_px"]]
    store = profile["image"]["store"]
    stored = [max(a, b) for a, b in zip(size, store, strict=True)]
    profile["image"] = {**profile["image"], "train": size, "store": stored}
