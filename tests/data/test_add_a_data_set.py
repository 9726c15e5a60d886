"""Adding a data set: one file and one line, in a copy of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from crgan.data.manifest import read_manifest
from tests.data_trees import write_tree

PROJECT = Path(__file__).parents[2]
LOADER = '''"""Images named <person>-<camera>-<number>.jpg in one folder."""

from crgan.data.counts import SplitCount
from crgan.data.entries import Entry, FilePixels, Listing, in_order, visible
from crgan.data.layout import Layout


def load(source, options, name):
    labels = {item.name: item.name.split("-")[:2] for item in visible(source)}
    entries = [Entry(n, int(pid), int(camid), "train") for n, (pid, camid) in labels.items()]
    return Listing(name, source, in_order(entries), (), FilePixels(source))


LAYOUT = Layout(
    label="A new set",
    how_to_get="ask us",
    load=load,
    published=lambda options: {"train": SplitCount(2, (2, 1))},
)
'''


def test_one_file_and_one_line(tmp_path: Path) -> None:
    for folder in ("crgan", "stages", "workflow"):
        ignored = shutil.ignore_patterns("__pycache__", ".snakemake")
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=ignored)
    (tmp_path / "crgan/data/layouts/newset.py").write_text(LOADER)
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["data"]["newset"] = {"layout": "newset"}
    params["profiles"][params["profile"]]["data"]["newset"] = {"source": "resources/newset"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    write_tree(tmp_path / "resources", {"newset": ["1-1-a.jpg", "1-2-b.jpg", "2-1-c.jpg"]})

    def python(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, text=True,
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    python(
        "-m", "stages.prepare_data", "--dataset", "newset", "--raw", "raw", "--out",
        "out/manifest.csv", "--images", "out/images.npy",
    )  # fmt: skip
    assert read_manifest(tmp_path / "out/manifest.csv").pid.tolist() == [1, 1, 2]
    told = python("-c", "from crgan.tables.names import dataset_label as d; print(d('newset'))")
    assert told == "A new set\n"
    listed = python(
        "-c",
        "import yaml; from crgan.data.known import as_text, known;"
        "print(as_text(known(yaml.safe_load(open('params.yaml')))))",
    )
    assert "newset (A new set, layout newset): found in resources/newset" in listed
