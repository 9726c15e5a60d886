"""pip install with a line of progress in place of a thousand lines. Run by the Makefile:

    python3.11 tools/install.py .venv -c requirements.lock -e ".[dev]"

Makes the environment, installs into it, compiles it on every core (pip would on one: 92 s in place
of 44 on two), and ends with pip's own status. What pip says of single packages becomes one line
that changes; a warning is shown once, though pip repeats some for every package and index; all
else, errors above all, is shown as it comes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

_CHATTER = re.compile(
    r"(Looking in|Obtaining|Requirement already|Using cached|Preparing|Building|Getting req"
    r"|Installing b|Checking if build|Created |Stored in|Attempting uninstall|Found existing"
    r"|Uninstalling|Successfully (built|uninstalled|installed))"
)
_PACKAGE = re.compile(r"(Collecting|Processing) \S+")
# Snakemake keeps a cache in the home folder, which may be one that cannot be written.
_ACTIVATION = """
test -w "$HOME" || export XDG_CACHE_HOME="${XDG_CACHE_HOME:-${VIRTUAL_ENV%/*}/.scratch/cache}"
"""
_DOWNLOAD = re.compile(r"Downloading (?:\S*/)?([^/\s]+?)-\d\S* \(([^)]+)\)")


def main(folder: str, *arguments: str) -> int:
    """Make or extend the environment in `folder`; pip's status."""
    if sys.version_info[:2] != (3, 11):
        print("Python 3.11 is needed; name one with PYTHON=/path/to/python3.11", file=sys.stderr)
        return 1
    python = str(Path(folder, "bin", "python"))
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    with Path(folder, "bin", "activate").open("a") as file:  # as venv has just written it anew
        file.write(_ACTIVATION)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    with subprocess.Popen(
        [*pip, "--no-compile", "--progress-bar", "off", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        show(process.stdout, sys.stderr)
    if process.returncode == 0:
        # Templates that are no Python stay uncompiled, as with pip.
        code = f"import compileall; compileall.compile_dir({folder + '/lib'!r}, quiet=2, workers=0)"
        subprocess.run([python, "-c", code], check=True)
    return process.returncode


def show(lines: Iterable[str], out: TextIO) -> None:
    """pip's output, shortened."""
    seen: set[str] = set()
    painted, packages = False, 0
    for line in lines:
        text = line.strip()
        collected, downloading = _PACKAGE.match(text), _DOWNLOAD.match(text)
        packages += bool(collected)
        if text.startswith("Installing collected packages"):
            state = f"installing {text.count(',') + 1} packages"
        elif downloading:
            state = f"packages: {packages}, downloading {downloading[1]}, {downloading[2]}"
        elif collected:
            state = f"packages: {packages}"
        else:
            kind = re.sub(r"'[^']*'|\S+://\S+", "...", text)
            if _CHATTER.match(text) or (
                text.startswith(("WARNING", "DEPRECATION")) and kind in seen
            ):
                continue
            seen.add(kind)
            out.write("\r\033[K" * painted + line)
            painted = False
            continue
        if out.isatty():
            out.write(f"\r\033[K{state[:79]}")
            painted = True
        elif packages % 50 == 0 or state.startswith("installing"):
            out.write(f"{state}\n")
        out.flush()
    out.write("\n" * painted)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
