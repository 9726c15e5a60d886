"""Unpacking archives that nobody vouches for: nothing is written outside the folder.

Members are written by this code, never by the archive modules' own extraction: only plain files
and folders, under relative names, with ordinary permissions. Anything else (links, devices,
absolute names, `..`) refuses the whole archive, since no re-id data set has a use for it.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO

from tqdm import tqdm

from crgan.common.errors import UserError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What an archive may grow to: bytes in all, and members."""

    total_bytes: int = 32 << 30  # the largest set here has 3 GB
    members: int = 1_000_000


def is_archive(path: Path) -> bool:
    """Whether the name is one of an archive that `unpack` reads."""
    return path.name.lower().endswith(SUFFIXES)


def unpack(archive: Path, folder: Path, limits: Limits | None = None) -> Path:
    """Unpack `archive` as `folder`, which appears complete or not at all.

    Raises:
        UserError: damaged, encrypted or unsafe archive, or one that exceeds the limits.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _unpack_into(archive, temporary, limits or Limits())
        temporary.chmod(0o755)  # mkdtemp makes it private
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _unpack_into(archive: Path, folder: Path, limits: Limits) -> None:
    members = _zip_members if zipfile.is_zipfile(archive) else _tar_members
    written = count = 0
    try:
        for name, file in tqdm(members(archive), desc=f"unpacking {archive.name}", unit="file"):
            count += 1
            if count > limits.members:
                raise UserError(f"{archive}: more than {limits.members:,} members; refused")
            target = folder / _safe(name, archive)
            if file is None:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with file, open(target, "xb") as out:
                while block := file.read(_BLOCK):
                    # counted as they come: what an archive says of its sizes may be a lie
                    written += len(block)
                    if written > limits.total_bytes:
                        raise UserError(
                            f"{archive}: unpacks to more than {limits.total_bytes:,} bytes; refused"
                        )
                    out.write(block)
    except UserError:
        raise
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise UserError(f"{archive}: {name!r} stands in it twice, or as file and folder") from None
    except OSError as error:
        if error.errno is not None:  # of the disk; damaged gzip data is an OSError without number
            raise UserError(f"{archive}: cannot be unpacked to {folder.parent} ({error})") from None
        raise _damaged(archive, error) from None
    except Exception as error:  # zlib, lzma, zipfile, tarfile and EOFError: each has its own kind
        raise _damaged(archive, error) from None
    if count == 0:
        raise UserError(f"{archive}: the archive is empty; copy or download it again")


def _damaged(archive: Path, error: Exception) -> UserError:
    return UserError(f"{archive}: damaged archive ({error}); copy or download it again")


def _safe(name: str, archive: Path) -> PurePosixPath:
    """The member's relative path, or a refusal."""
    path = PurePosixPath(name)
    drive = len(name) > 1 and name[1] == ":"
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or drive:
        raise UserError(f"{archive}: member {name!r} would be written outside its folder; refused")
    if "\0" in name:
        raise UserError(f"{archive}: member name {name!r} holds a zero byte; refused")
    return path


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _special(archive, info.filename)
            if info.flag_bits & 1:
                raise UserError(f"{archive}: encrypted; unpack it by hand and set source to it")
            # the name as stored: zipfile's own clean-up would hide a backslash or a zero byte
            name = info.orig_filename
            yield name, None if info.is_dir() else file.open(info)


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with _decompressed(archive) as stream:
        try:
            file = tarfile.open(fileobj=stream, mode="r:")  # noqa: SIM115 - owns nothing
        except tarfile.TarError as error:
            raise UserError(f"{archive}: neither a zip nor a tar archive ({error})") from None
        for info in file:
            if info.isdir():
                if info.name not in (".", "./"):
                    yield info.name, None
            elif info.isreg():
                yield info.name, file.extractfile(info)
            else:
                raise _special(archive, info.name)
        _check_end(archive, stream, file.offset)


def _decompressed(archive: Path) -> BinaryIO | gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile:
    with open(archive, "rb") as file:
        magic = file.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.open(archive, "rb")
    if magic.startswith(b"BZh"):
        return bz2.open(archive, "rb")
    if magic.startswith(b"\xfd7zXZ"):
        return lzma.open(archive, "rb")
    return open(archive, "rb")


def _check_end(archive: Path, stream: Any, offset: int) -> None:
    """tarfile takes a broken header for the end of the archive and so loses what follows.

    The true end is zero blocks and nothing else; reading them also makes the decompressor compare
    its checksum over the whole.
    """
    stream.seek(offset)
    length = 0
    while block := stream.read(_BLOCK):
        length += len(block)
        if block.strip(b"\0"):
            raise _damaged(archive, tarfile.ReadError(f"broken member header at byte {offset}"))
    if length < tarfile.BLOCKSIZE:
        raise _damaged(archive, tarfile.ReadError("it ends early"))


def _special(archive: Path, name: str) -> UserError:
    return UserError(f"{archive}: member {name!r} is a link or device, not a file; refused")
