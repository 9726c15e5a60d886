"""From what the user has (a folder, an archive, a file, an address) to raw data on disk."""

from __future__ import annotations

from pathlib import Path

from crgan.common.errors import UserError
from crgan.common.io import sha256_file
from crgan.common.paths import is_address
from crgan.data.layout import layout_of
from crgan.data.unpack import SUFFIXES, is_archive, unpack


def acquire(
    layout: str, source: str | Path, raw_dir: str | Path, sha256: str | None = None
) -> Path:
    """Bring raw data to disk and return the folder (or `.mat` file) a loader starts from.

    Args:
        layout: its name; a file of `crgan/data/layouts`.
        source: a folder, an archive, CUHK03's `.mat`, or an http(s) address of one of these files.
        raw_dir: where downloads and unpacked archives are kept for the next time.
        sha256: hash of the file; needed for an address, checked for a local file when given.

    Raises:
        UserError: nothing there, a wrong hash, an unsafe archive, or an address for a data set that
            is not downloaded.
    """
    raw_dir = Path(raw_dir)
    if is_address(source):
        if reason := layout_of(layout).not_downloaded:
            raise UserError(f"{source}: {reason}")
        from crgan.common.download import fetch  # only here: requests takes its time to load

        path = fetch(str(source), sha256, raw_dir)
        sha256 = None  # verified
    else:
        path = Path(source)
    if path.is_dir():
        return path
    if not path.is_file():
        raise UserError(f"{path}: not there. How to get it: {layout_of(layout).how_to_get}")
    digest = sha256_file(path) if sha256 or is_archive(path) else None
    if sha256 and digest != sha256.lower():
        raise UserError(f"{path}: sha256 is {digest}, expected {sha256}; copy or download it again")
    if path.suffix.lower() == ".mat":
        return path
    if not is_archive(path):
        raise UserError(f"{path}: neither a folder, a .mat file nor one of {', '.join(SUFFIXES)}")
    # Named by content, so that another archive of the same name is not mistaken for this one.
    folder = raw_dir / f"{path.name.split('.')[0]}-{str(digest)[:12]}"
    return folder if folder.is_dir() else unpack(path, folder)
