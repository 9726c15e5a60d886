"""Downloads that resume, verified by hash: pooch does the book-keeping, this the transfer.

Pooch checks a file's SHA-256 and moves it into place, but starts every transfer anew. Its
downloader is exchangeable: `ResumingDownloader` keeps what has arrived in `<name>.part` and asks
the server for the rest. Whether the parts fit together is what the hash says.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pooch
import requests
from tqdm import tqdm

from crgan.common.errors import UserError

_BLOCK = 1 << 16  # at most so many bytes that had come are lost when a connection breaks
_HASH = re.compile(r"[0-9a-f]{64}")


def fetch(url: str, sha256: str | None, folder: str | Path, name: str | None = None) -> Path:
    """Download `url` into `folder`, or use what is there when its hash is right.

    Args:
        url: http or https address of one file.
        sha256: its hash, 64 hex digits. Without it nothing is fetched.
        folder: where the file is kept; an interrupted transfer waits there as `<name>.part`.
        name: the file's name; None takes the last part of the address.

    Raises:
        UserError: no hash, an address that is not http(s), a transfer that failed for good, or a
            file with another hash (which is removed).
    """
    if not re.match(r"https?://", url):
        raise UserError(f"{url}: only http and https addresses are fetched")
    if not sha256 or not _HASH.fullmatch(sha256.lower()):
        raise UserError(
            f"{url}: give its sha256 (64 hex digits), have {sha256!r}; nothing is fetched"
        )
    name = name or re.split(r"[?#]", url)[0].rstrip("/").rsplit("/", 1)[-1]
    pooch.get_logger().setLevel("WARNING")  # the progress bar says it already
    downloader = ResumingDownloader(Path(folder) / f"{name}.part")
    while True:
        started_anew = not downloader.part.exists()
        try:
            return Path(
                pooch.retrieve(url, f"sha256:{sha256.lower()}", name, folder, downloader=downloader)
            )
        except ValueError:  # pooch's only word for a wrong hash; it has removed the file
            if started_anew:
                raise UserError(
                    f"{url}: what came has another sha256 than {sha256}; check both (a page asking "
                    "to log in or to confirm also comes as a file), or download it by hand and set "
                    "source to it"
                ) from None
            # a part of another file: the server's has changed since


class ResumingDownloader:
    """A downloader for pooch that goes on where the last transfer stopped.

    Args:
        part: the file that grows; kept when a transfer fails, moved away when it is complete.
        attempts: transfers tried in one call without any progress before giving up.
    """

    def __init__(self, part: str | Path, attempts: int = 5) -> None:
        self.part = Path(part)
        self.attempts = attempts

    def __call__(self, url: str, output_file: Any, pooch: Any = None, **_: Any) -> None:
        """Fetch `url` to `output_file` (the temporary path that pooch gives and then verifies).

        Raises:
            UserError: the server refuses, or the transfer breaks off again and again.
        """
        failures = 0
        while True:
            before = self._have()
            try:
                self._transfer(url)
                break
            except (requests.RequestException, OSError) as error:
                answer = getattr(error, "response", None)
                if answer is not None and answer.status_code < 500:
                    raise UserError(f"{url}: the server refuses it ({error})") from None
                # a transfer that brought something is progress, not a failure in a row
                failures = 1 if self._have() > before else failures + 1
                if failures >= self.attempts:
                    raise UserError(
                        f"{url}: transfer broke off after {self._have():,} bytes ({error}); "
                        "they are kept, run again to go on"
                    ) from None
            time.sleep(2 ** (failures - 1))
        os.replace(self.part, output_file)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _transfer(self, url: str) -> None:
        """One request for what is missing; requests notices one that ends early."""
        have = self._have()
        headers = {"Accept-Encoding": "identity"}  # lengths must mean the file's own bytes
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=30) as answer:
            if have and answer.status_code == 416:
                return  # nothing is missing; the hash says whether this is the file
            answer.raise_for_status()
            resumed = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            start = have if resumed else 0
            total = start + int(answer.headers.get("Content-Length", 0)) or None
            with (
                open(self.part, "ab" if resumed else "wb") as file,
                tqdm(
                    total=total, initial=start, unit="B", unit_scale=True, desc=self.part.stem
                ) as bar,
            ):
                for block in answer.iter_content(_BLOCK):
                    file.write(block)
                    bar.update(len(block))
