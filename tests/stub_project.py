"""A copy of the project whose stages take milliseconds, for the tests of the two engines.

Everything is the real thing (rules, dvc.yaml, parameters, records) but the body of each stage: it
writes a digest of its parameters and inputs, so that a result of the wrong ones is visible. The
command lines and the imports (which decide the source files behind a stage) are taken from the
real stages, whose libraries are never loaded.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from crgan.common.yaml import parse

ROOT = Path(__file__).resolve().parents[1]

SMALL: dict[str, Any] = {
    "pairs": {"main": ["market1501 to dukemtmc"]},
    "run_pairs": ["main"],
    "methods": {
        "crgan": {
            "label": "CR-GAN", "kind": "gan", "pairs": ["main"], "visual": ["main"],
            "select": ["main"], "uses": ["source labels", "target cameras"],
        },
        "direct_transfer": {
            "label": "Direct Transfer", "kind": "adapt", "pairs": ["main"],
            "uses": ["source labels"],
        },
        "buc": {"label": "BUC", "kind": "adapt", "start": "fresh", "pairs": ["main"], "uses": []},
    },
    "chosen": [],
}  # fmt: skip
"""CR-GAN, Direct Transfer and a method without source, in one direction, and nothing else."""

_BODY = '''

def body(args, run):
    """Write what a result depends on; a table refuses a score that does not stand."""
    import json
    import os
    import time
    from crgan.pipeline import params as parameters
    from crgan.common.io import atomic_path, canonical_json, sha256_bytes
    from crgan.pipeline.records import Auditor, relative

    if run.record["stage"] == "make_table":
        auditor = Auditor(parameters.load())
        for path in run.inputs:
            if path.suffix == ".json" and (reason := auditor.why_stale(path)):
                raise SystemExit(f"{path}: {reason}")
    Path(".scratch").mkdir(exist_ok=True)
    with open(os.environ.get("STUB_LOG", ".scratch/run.log"), "a") as log:
        log.write(f"{run.record['stage']} {relative(run.outputs[0])}\\n")
    identity = {"params": run.params, "inputs": run.record["inputs"], "cell": run.cell}
    for path in run.outputs:
        digest = sha256_bytes(canonical_json([identity, path.name]).encode())
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps({"digest": digest}) + "\\n")
    if os.environ.get("STUB_HANG") == relative(run.outputs[0]):
        Path(".scratch/pid.new").write_text(str(os.getpid()))
        Path(".scratch/pid.new").rename(".scratch/pid")  # whole, or not there
        time.sleep(float(os.environ.get("STUB_SECONDS", "60")))


if __name__ == "__main__":
    run_stage(parser, body)
'''


def make(
    folder: Path,
    settings: Mapping[str, Any] | None = None,
    tables: Sequence[int] = range(1, 8),
    stubbed: bool = True,
) -> Path:
    """Copy the working tree into `folder`, stub its stages, and commit it to a new repository.

    Args:
        settings: dotted keys of params.yaml to change.
        tables: those the copy has; the fewer, the faster.
        stubbed: False leaves the stages as they are.
    """
    for name in _files():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target, follow_symlinks=False)  # scripts stay executable
    for stage in sorted((folder / "stages").glob("*.py")):
        if stubbed and "StageParser(" in stage.read_text():
            stage.write_text(stub(stage.read_text()))
    if stubbed:  # such jobs are over in less than the time span that suits real ones
        profile = folder / "workflow/profiles/default/config.yaml"
        text = profile.read_text()
        assert "timespan: 100/5s" in text
        profile.write_text(text.replace("timespan: 100/5s", "timespan: 100/1s"))
    printed = folder / "crgan/tables/printed.py"
    text = printed.read_text()
    assert "TABLES = range(1, 8)" in text
    printed.write_text(text.replace("TABLES = range(1, 8)", f"TABLES = {tuple(tables)}"))
    set_params(folder, settings or {})
    _leave_out(folder / "dvc.yaml", set(range(1, 8)) - set(tables))
    for command in ("init -q -b main", "add -A", "commit -q -m start"):
        run(folder, "git", *command.split())
    return folder


def _leave_out(dvc_yaml: Path, tables: set[int]) -> None:
    """Take tables out of the list of outputs, their plots, and what reads them."""
    lines = dvc_yaml.read_text().splitlines()
    for table in tables:
        plot = f"/table{table}.csv:"
        lines = [line for line in lines if f"- results/table{table}." not in line]
        lines = [line for line in lines if plot not in line]
        lines = [line.replace(f"results/table{table}.csv, ", "") for line in lines]
        lines = [line.replace(f", results/table{table}.csv]", "]") for line in lines]
    dvc_yaml.write_text("\n".join(lines) + "\n")


def stub(source: str) -> str:
    """A stage's parser and imports with another body."""
    tree = ast.parse(source)
    keep, imports = [], []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(ast.unparse(node))
    for statement in tree.body:
        text = ast.unparse(statement)
        if text.startswith("parser") or (isinstance(statement, ast.Assign) and _literal(statement)):
            keep.append(text)
    imports = [text for text in imports if "__future__" not in text]
    unused = "\n".join(f"    {text}" for text in imports)
    head = "from pathlib import Path\n\nfrom crgan.pipeline.stage import StageParser, run_stage\n"
    if any("ROOT" in text for text in keep):
        head += 'ROOT = Path("resources/weights")\n'
    return f"{head}\n\ndef _imports():\n{unused}\n\n\n" + "\n".join(keep) + _BODY


def _literal(statement: ast.Assign) -> bool:
    try:
        ast.literal_eval(statement.value)
    except ValueError:
        return False
    return True


def _files() -> list[str]:
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = (name for name in done.stdout.split("\0") if not name.startswith("recorded/"))
    return [name for name in names if name and (ROOT / name).exists()]


def starts(folder: Path) -> list[str]:
    """What ran since the last call, as "stage first-output"."""
    log = folder / ".scratch" / "run.log"
    lines = log.read_text().splitlines() if log.is_file() else []
    log.unlink(missing_ok=True)
    return lines


def set_params(folder: Path, settings: Mapping[str, Any]) -> None:
    """Change dotted keys of the project's params.yaml, in place."""
    path = folder / "params.yaml"
    params = parse(path.read_text(), str(path))
    for key, value in settings.items():
        home = params
        *parts, last = key.split(".")
        for part in parts:
            home = home[part]
        home[last] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def run(folder: Path, *command: str, check: bool = True, **environment: str) -> str:
    """Run a command in the project; its output, both streams. `python` is the tests' own."""
    done = subprocess.run(
        command,
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=clean_environment(folder, **environment),
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def clean_environment(folder: Path, **more: str) -> dict[str, str]:
    """The tests' environment without what would point at the outer project or the user's git."""
    dropped = ("CRGAN_", "GIT_", "DVC_", "SNAKEMAKE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    identity = {
        f"GIT_{who}_{what}": "test@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    return {
        **kept,
        **identity,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "DVC_NO_ANALYTICS": "1",
        "XDG_CACHE_HOME": str(folder / ".scratch" / "cache"),
        **more,
    }
