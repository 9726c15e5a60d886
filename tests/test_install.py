"""tools/install.py: what is shown of pip's output, and the status it ends with."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

from tools.install import show

ROOT = Path(__file__).resolve().parents[1]
PIP = """\
Looking in indexes: https://example.org/simple, file:///opt/more
WARNING: Location 'file:///opt/more/torch/' is ignored: it is neither a file nor a directory.
Collecting torch==2.14.1 (from -c requirements.lock (line 9))
  Downloading https://example.org/torch-2.14.1-cp311-manylinux.whl (532.1 MB)
WARNING: Location 'file:///opt/more/numpy/' is ignored: it is neither a file nor a directory.
Collecting numpy==2.4.6
  Using cached numpy-2.4.6-cp311-manylinux.whl (16.6 MB)
Installing collected packages: numpy, torch
Successfully installed numpy-2.4.6 torch-2.14.1
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_one_changing_line_and_every_warning_once() -> None:
    out = Terminal()
    show(PIP.splitlines(keepends=True), out)
    text = out.getvalue()
    assert "packages: 1, downloading torch, 532.1 MB" in text
    assert "\r\033[Kinstalling 2 packages" in text
    assert text.count("is ignored") == 1
    assert text.count("\n") == 2  # behind the warning, and at the end
    assert "Looking in" not in text


def test_a_file_gets_no_control_characters() -> None:
    out = io.StringIO()
    show(PIP.splitlines(keepends=True), out)
    assert "\r" not in out.getvalue()
    assert "\033" not in out.getvalue()
    assert "installing 2 packages\n" in out.getvalue()


def test_errors_are_shown_whole() -> None:
    error = "ERROR: Cannot install a and b.\n\nThe conflict is caused by:\n    a 1 depends on c<2\n"
    out = io.StringIO()
    show(error.splitlines(keepends=True), out)
    assert out.getvalue() == error


def test_it_ends_with_pips_status_and_the_environment_needs_no_home(tmp_path: Path) -> None:
    command = [sys.executable, "tools/install.py", str(tmp_path / "venv"), "--no-index"]
    failed = subprocess.run([*command, "no-such-package"], cwd=ROOT, capture_output=True, text=True)
    assert failed.returncode == 1
    assert "No matching distribution found for no-such-package" in failed.stderr
    # activated where the home folder cannot be written, Snakemake's cache goes to the project
    activated = subprocess.run(
        ["bash", "-c", f". {tmp_path}/venv/bin/activate && echo $XDG_CACHE_HOME"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path / "none")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert activated.stdout.strip() == str(tmp_path / ".scratch" / "cache")
