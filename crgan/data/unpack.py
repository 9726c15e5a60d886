"""Unpacking archives that nobody vouches for: nothing is written outside the folder.

Only plain files and folders under relative names: anything else (links, devices, absolute names,
`..`) refuses the whole archive, since no re-id data set has a use for it.
"""

from __future__ import annotations

import shutil
import stat
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from crgan.common.errors import UserError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What an archive may grow to: bytes in all, members, and bytes for each byte it has itself."""

    total_bytes: int = 32 << 30  # the largest set here has 3 GB
    members: int = 1_000_000
    ratio: int = 200  # JPEG files hardly shrink, lists to a tenth; archives below 1 MB may


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
    check = _Check(archive, limits or Limits())
    try:
        (_unzip if zipfile.is_zipfile(archive) else _untar)(archive, temporary, check)
        if not check.names:
            raise UserError(f"{archive}: the archive is empty; copy or download it again")
        temporary.chmod(0o755)  # mkdtemp makes it private
        temporary.rename(folder)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UserError(f"{archive}: {error.filename} stands in it as file and folder") from None
    except (UserError, MemoryError):
        raise
    except Exception as error:  # zlib, lzma, zipfile, tarfile and EOFError: each has its own kind
        if isinstance(error, OSError) and error.errno is not None:  # of the disk
            raise UserError(f"{archive}: cannot be unpacked to {folder.parent} ({error})") from None
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{archive}: damaged archive ({reason}); copy or download it again"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


@dataclass
class _Check:
    """What every member must pass before it is written; counts them and their bytes.

    Sizes are those the archive states: both modules write no more of a member than that.
    """

    archive: Path
    limits: Limits
    names: set[str] = field(default_factory=set)
    written: int = 0

    def member(self, name: str, size: int, *, folder: bool, plain: bool) -> str:
        """The member's path below the folder; backslashes, as Windows writes them, part folders."""
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or "\0" in name or name[1:2] == ":":
            raise UserError(f"{self.archive}: {name!r} would be outside its folder; refused")
        if not plain:
            raise UserError(f"{self.archive}: {name!r} is a link or device; refused")
        if str(path) in self.names and not folder:
            raise UserError(f"{self.archive}: {name!r} stands in it twice; refused")
        self.names.add(str(path))
        if len(self.names) > self.limits.members:
            raise UserError(f"{self.archive}: more than {self.limits.members:,} members; refused")
        self.written += size
        own = max(self.archive.stat().st_size, _BLOCK)
        most = min(self.limits.total_bytes, own * self.limits.ratio)
        if self.written > most:
            raise UserError(f"{self.archive}: unpacks to more than {most:,} bytes; refused")
        return str(path)


def _unzip(archive: Path, folder: Path, check: _Check) -> None:
    with zipfile.ZipFile(archive) as file:
        for info in tqdm(file.infolist(), f"unpacking {archive.name}", unit="file"):
            kind = stat.S_IFMT(info.external_attr >> 16)
            name = info.orig_filename  # as stored: zipfile's own clean-up would hide a zero byte
            is_folder = name.endswith(("/", "\\"))
            plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
            path = check.member(name, info.file_size, folder=is_folder, plain=plain)
            if info.flag_bits & 1:
                raise UserError(f"{archive}: encrypted; unpack it by hand and set source to it")
            info.filename = f"{path}/" if is_folder else path
            file.extract(info, folder)


def _untar(archive: Path, folder: Path, check: _Check) -> None:
    with tarfile.open(archive) as file:
        for info in tqdm(file, f"unpacking {archive.name}", unit="file"):
            if info.name == "." and info.isdir():
                continue
            plain = info.isreg() or info.isdir()
            info.name = check.member(info.name, info.size, folder=info.isdir(), plain=plain)
            file.extract(info, folder, filter="data")
        # tarfile takes a broken header for the end of the archive and so loses what follows. The
        # true end is zero blocks and nothing else; reading them also has gzip compare its checksum.
        stream, length = file.fileobj, 0
        assert stream is not None
        stream.seek(file.offset)
        while block := stream.read(_BLOCK):
            length += len(block)
            if block.strip(b"\0"):
                raise tarfile.ReadError(f"broken member header at byte {file.offset}")
        if length < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it ends early")
