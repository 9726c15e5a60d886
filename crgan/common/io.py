"""Files that are whole or absent: atomic writes, hashes, JSON and torch files."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from crgan.common.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK = 1 << 20
_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota is used up",
    errno.EFBIG: "the file would be larger than this system allows",
}
_PLACE = {
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "writing there is not permitted",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EEXIST: "a file stands where a folder is needed",
}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` on success, remove it on error.

    The temporary name keeps the suffix, since writers such as numpy and OpenCV choose by it.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix
        )
    except OSError as error:
        raise unwritable(path, error) or error from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private (0600); give them what a plain open() would have given.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    except OSError as error:
        ours = error.filename is None or Path(str(error.filename)) in (temporary, path)
        if ours and (told := unwritable(path, error)):
            raise told from None
        raise
    finally:
        with suppress(OSError):  # a disk gone read-only meanwhile has its own message by now
            temporary.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> UserError | None:
    """One line on a full disk or a place that cannot be written; None for any other error."""
    if error.errno in _PLACE:
        return UserError(
            f"{path}: cannot be written, {_PLACE[error.errno]}; set the rights of the folder, or "
            "run in a place that is yours"
        )
    reason = _DISK.get(error.errno or 0)
    if error.errno is None and "requested and" in str(error):  # numpy's, which has no number
        reason = f"only a part went to the disk ({error})"
    if reason is None:
        return None
    disk = path.absolute().parent
    while not disk.is_dir() or (not disk.is_mount() and disk != disk.parent):
        disk = disk.parent
    free = shutil.disk_usage(disk).free / 2**20
    return UserError(
        f"{path}: cannot be written, {reason} ({free:,.0f} MB free on {disk}); "
        "make room and run again, nothing half written is left"
    )


class Sink:
    """A new file for libraries that crash or say little when a write fails (HDF5, torch).

    The first failed write is kept and later ones are ignored, so that the library ends in peace;
    `open_sink` then raises it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """All of `data`; a raw file may take less at a time."""
        left = memoryview(data).cast("B")
        length = len(left)
        try:
            while self.error is None and len(left):
                left = left[self._file.write(left) :]
        except OSError as error:
            self.error = error
        return length

    def truncate(self, size: int | None = None) -> int:
        """See `io.IOBase`."""
        try:
            return self._file.truncate(size) if self.error is None else 0
        except OSError as error:
            self.error = error
            return 0

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Close the file, and raise the first failed write."""
        self._file.close()
        if self.error is not None:
            raise self.error

    def seek(self, offset: int, whence: int = 0) -> int:
        """See `io.IOBase`."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """See `io.IOBase`."""
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        """See `io.IOBase`."""
        return self._file.read(size)

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`."""
        return self._file.readinto(buffer)  # type: ignore[attr-defined]


@contextmanager
def open_sink(path: str | Path) -> Iterator[Sink]:
    """Open a new file as a `Sink`.

    Raises:
        OSError: the first failed write, whatever the library that wrote made of it.
    """
    with open(path, "w+b", buffering=0) as file:
        sink = Sink(file)
        try:
            yield sink
        finally:
            sink.close()


def sha256_bytes(data: bytes) -> str:
    """Hex SHA-256 of a byte string."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def write_json(path: str | Path, value: Any) -> None:
    """Write readable JSON with sorted keys, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def require_regular(path: str | Path) -> None:
    """Refuse what is there and no regular file: a pipe would hold its reader up for ever."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise UserError(f"{path}: a folder, pipe or device; a regular file is needed")


def read_json(path: str | Path) -> Any:
    """Read JSON; a missing or broken file is a `UserError` naming it."""
    require_regular(path)
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); delete it and run again") from None


def save_arrays(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Named numpy arrays as .npz, atomic, and the same bytes every time."""
    import numpy as np

    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """What `save_arrays` wrote; nothing is unpickled.

    Raises:
        UserError: missing or broken file.
    """
    import numpy as np

    require_regular(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        if other := [name for name in arrays if not isinstance(arrays[name], np.ndarray)]:
            raise ValueError(f"{other[0]} is no array")
        return arrays
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except NPY_FAULTS as error:
        raise UserError(
            f"{path}: not a readable .npz ({npy_fault(error)}); make it again"
        ) from None


NPY_FAULTS = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, TypeError, MemoryError)
"""What `numpy.load` may raise on a file that is damaged or claims more than it has."""


def npy_fault(error: BaseException) -> str:
    """What is wrong with a numpy file, in a few words. numpy's own may advise to load the file with
    pickles allowed, which would run what is in it.
    """
    text = (str(error) or type(error).__name__).splitlines()[0]
    return "it holds Python objects, or is none" if "pickle" in text else text


def save_torch(path: str | Path, value: dict[str, Any]) -> None:
    """`torch.save` of a dict of tensors and plain values, atomic, and the same bytes every time."""
    import torch

    with atomic_path(path) as temporary, open_sink(temporary) as file:
        # Through a file object the archive's inner name is fixed; by path it would be the
        # temporary name, and equal models would differ in their bytes.
        torch.save(value, file)  # type: ignore[arg-type]


def load_torch(path: str | Path) -> dict[str, Any]:
    """Load what `save_torch` wrote, on the CPU: tensors and plain values only.

    Raises:
        UserError: missing, truncated or unsafe file.
    """
    if not Path(path).exists():
        raise UserError(f"{path}: no such file")
    require_regular(path)
    value = tensors_from(path, str(path))
    if not isinstance(value, dict):
        raise UserError(f"{path}: holds a {type(value).__name__}, expected a dict")
    return value


def tensors_from(source: str | Path | IO[bytes], name: str) -> Any:
    """`torch.load` on the CPU that builds tensors and plain values and runs nothing else.

    Args:
        name: what a message calls the source.

    Raises:
        UserError: damaged, or holding anything else. torch's own message is not passed on: it
            advises to load such a file without the check, which would run what is in it.
    """
    import torch

    try:
        return torch.load(source, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # a hostile pickle can make the reader raise anything
        unpickled = isinstance(error, RuntimeError | EOFError) and "weights_only" not in str(error)
        reason = str(error).splitlines()[0] if unpickled and str(error) else ""
        raise UserError(
            f"{name}: not a readable model file ({reason or 'damaged, or more than tensors'}). "
            "Make or download it again; a file with other objects could run code and is not loaded"
        ) from None
