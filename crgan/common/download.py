"""Downloads that resume, verified by hash: pooch does the book-keeping, this the transfer.

Pooch checks a file's SHA-256 and moves it into place, but starts every transfer anew. Its
downloader is exchangeable: `ResumingDownloader` keeps what has arrived in `<name>.part` and asks
the server for the rest (HTTP Range), as long as the server says the file is still the same one.
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
from crgan.common.io import read_json, write_json

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
    folder = Path(folder)
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")  # the progress bar says it already
    try:
        got = pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256.lower()}",
            fname=name,
            path=folder,
            downloader=ResumingDownloader(folder / f"{name}.part"),
        )
    except ValueError:  # pooch's only word for a wrong hash; it has removed the file
        raise UserError(
            f"{url}: what came has another sha256 than {sha256}; check both (a page asking to log "
            "in or to confirm also comes as a file), or download it by hand and set source to it"
        ) from None
    finally:
        logger.setLevel(level)
    return Path(got)


class ResumingDownloader:
    """A downloader for pooch that goes on where the last transfer stopped.

    Args:
        part: the file that grows; kept when a transfer fails, moved away when it is complete.
        attempts: transfers tried in one call without any progress before giving up.
        timeout: seconds without an answer that count as a failure.
        pause: seconds before the second attempt, doubled with each further one.
    """

    def __init__(
        self, part: str | Path, attempts: int = 5, timeout: float = 30.0, pause: float = 1.0
    ) -> None:
        self.part = Path(part)
        self.attempts = attempts
        self.timeout = timeout
        self.pause = pause

    def __call__(self, url: str, output_file: Any, pooch: Any = None, **_: Any) -> None:
        """Fetch `url` to `output_file` (the temporary path that pooch gives and then verifies)."""
        failures = 0
        while True:
            before = self._have()
            try:
                self._transfer(url)
                break
            except requests.HTTPError as error:
                if error.response is None or error.response.status_code < 500:
                    raise UserError(f"{url}: the server refuses it ({error})") from None
                problem: Exception = error
            except (requests.RequestException, OSError, _Short) as error:
                problem = error
            # a transfer that brought something is progress, not a failure in a row
            failures = 1 if self._have() > before else failures + 1
            if failures >= self.attempts:
                raise UserError(
                    f"{url}: transfer broke off after {self._have():,} bytes ({problem}); "
                    "they are kept, run again to go on"
                ) from None
            time.sleep(self.pause * 2 ** (failures - 1))
        os.replace(self.part, output_file)
        self._tag_file.unlink(missing_ok=True)

    @property
    def _tag_file(self) -> Path:
        return self.part.with_name(self.part.name + ".json")

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _validator(self, url: str) -> str | None:
        """What the server called this version of the file (ETag or date) when it began."""
        if not self._have() or not self._tag_file.is_file():
            return None
        try:
            tag = read_json(self._tag_file)
        except UserError:
            return None
        return tag["validator"] if tag.get("url") == url else None

    def _transfer(self, url: str) -> None:
        """One request: for the rest where that is safe, for the whole otherwise."""
        validator = self._validator(url)
        headers = {"Accept-Encoding": "identity"}  # lengths must mean the file's own bytes
        if validator:
            # If-Range: the rest if the file is unchanged, the whole new file if it is not
            headers |= {"Range": f"bytes={self._have()}-", "If-Range": validator}
        with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as answer:
            if answer.status_code == 416:  # nothing is left to send, or the part is too long
                if _total(answer) == self._have():
                    return
                self.part.unlink()
                raise _Short("the server has a shorter file than before; starting again")
            answer.raise_for_status()
            resumed = answer.status_code == 206 and _start(answer) == self._have()
            if answer.status_code == 206 and not resumed:
                self.part.unlink()
                raise _Short("the server answered with another range than was asked for")
            self._receive(url, answer, resumed)

    def _receive(self, url: str, answer: requests.Response, resumed: bool) -> None:
        length = answer.headers.get("Content-Length")
        offset = self._have() if resumed else 0
        total = offset + int(length) if length and length.isdigit() else None
        if not resumed:
            validator = answer.headers.get("ETag", "")
            if not validator or validator.startswith("W/"):  # a weak tag does not vouch for bytes
                validator = answer.headers.get("Last-Modified", "")
            write_json(self._tag_file, {"url": url, "validator": validator})
        with (
            open(self.part, "ab" if resumed else "wb") as file,
            tqdm(
                total=total, initial=offset, unit="B", unit_scale=True, desc=self.part.stem
            ) as bar,
        ):
            for block in answer.iter_content(_BLOCK):
                file.write(block)
                bar.update(len(block))
        if total is not None and self._have() < total:
            raise _Short(f"{self._have():,} of {total:,} bytes came")


class _Short(Exception):
    """A transfer that ended early without the connection saying so."""


def _start(answer: requests.Response) -> int | None:
    match = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _total(answer: requests.Response) -> int | None:
    match = re.match(r"bytes \*/(\d+)", answer.headers.get("Content-Range", ""))
    return int(match[1]) if match else None
