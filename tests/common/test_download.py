"""Downloads against a local server that breaks off, changes its file and answers oddly."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from crgan.common import download as fetching
from crgan.common.download import ResumingDownloader, fetch
from crgan.common.errors import UserError
from crgan.weights.sources import download_url

CONTENT = np.random.default_rng(0).integers(0, 256, 700_000, dtype=np.uint8).tobytes()
BLOCK = 1 << 16  # what is kept of a broken transfer are whole blocks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `content` with ranges; `cut` answers stop after so many bytes, one per request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.cut: list[int] = []
        self.status: list[int] = []
        self.ranges = True
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/set.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        s = self.server
        wanted = self.headers.get("Range")
        s.asked.append(wanted)
        if s.status:
            self.send_error(s.status.pop(0))
            return
        start = 0
        if wanted and s.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(s.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(s.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        body = s.content[start:]
        self.send_response(206 if start else 200)
        if start:
            last = len(s.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(s.content)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: s.cut.pop(0)] if s.cut else body)
        self.close_connection = True


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as served:
        thread = threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield served
        served.shutdown()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts would only slow the tests."""
    monkeypatch.setattr(fetching.time, "sleep", lambda _: None)


def test_a_download_is_verified_and_kept(server: Server, tmp_path: Path) -> None:
    path = fetch(server.url, SHA256.upper(), tmp_path)
    assert path == tmp_path / "set.zip"
    assert path.read_bytes() == CONTENT
    assert fetch(server.url, SHA256, tmp_path) == path
    assert server.asked == [None]  # the second call found it
    assert list(tmp_path.iterdir()) == [path]


def test_a_broken_transfer_goes_on_within_one_call(server: Server, tmp_path: Path) -> None:
    server.cut = [4 * BLOCK, 3 * BLOCK]
    assert fetch(server.url, SHA256, tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={4 * BLOCK}-", f"bytes={7 * BLOCK}-"]


def test_a_killed_run_goes_on_in_the_next(server: Server, tmp_path: Path) -> None:
    server.cut = [4 * BLOCK + 99, 0, 0, 0, 0, 0]
    with pytest.raises(UserError, match=r"broke off after 262,144 bytes .* run again to go on"):
        fetch(server.url, SHA256, tmp_path)
    assert (tmp_path / "set.zip.part").stat().st_size == 4 * BLOCK
    assert not (tmp_path / "set.zip").exists()
    server.cut, server.asked = [], []
    assert fetch(server.url, SHA256, tmp_path).read_bytes() == CONTENT
    assert server.asked == [f"bytes={4 * BLOCK}-"]
    assert [p.name for p in tmp_path.iterdir()] == ["set.zip"]


def test_a_changed_file_starts_anew(server: Server, tmp_path: Path) -> None:
    server.cut = [300_000, 0, 0, 0, 0, 0]
    with pytest.raises(UserError, match="broke off"):
        fetch(server.url, SHA256, tmp_path)
    server.cut, server.content = [], CONTENT[::-1]
    sha256 = hashlib.sha256(CONTENT[::-1]).hexdigest()
    assert fetch(server.url, sha256, tmp_path).read_bytes() == CONTENT[::-1]


def test_a_server_that_cannot_resume_starts_anew(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.cut = [300_000]
    assert fetch(server.url, SHA256, tmp_path).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_part_that_is_already_whole(server: Server, tmp_path: Path) -> None:
    server.cut = [len(CONTENT) - 1, 0, 0, 0, 0, 0]
    with pytest.raises(UserError, match="broke off"):
        fetch(server.url, SHA256, tmp_path)
    part = tmp_path / "set.zip.part"
    part.write_bytes(CONTENT)  # killed between the last byte and the renaming
    server.cut = []
    assert fetch(server.url, SHA256, tmp_path).read_bytes() == CONTENT
    part.write_bytes(CONTENT + b"x")
    (tmp_path / "set.zip").unlink()
    assert fetch(server.url, SHA256, tmp_path).read_bytes() == CONTENT


def test_a_wrong_hash_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.content = b"<html>log in first</html>"
    with pytest.raises(UserError, match="another sha256"):
        fetch(server.url, SHA256, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_server_errors(server: Server, tmp_path: Path) -> None:
    server.status = [404]
    with pytest.raises(UserError, match=r"the server refuses it .*404"):
        fetch(server.url, SHA256, tmp_path)
    server.status = [503, 502]
    assert fetch(server.url, SHA256, tmp_path).read_bytes() == CONTENT
    server.status = [500] * 9
    (tmp_path / "set.zip").unlink()
    with pytest.raises(UserError, match=r"broke off after 0 bytes .*500"):
        fetch(server.url, SHA256, tmp_path)
    assert len(server.status) == 4  # five attempts without progress


def test_no_server_at_all(tmp_path: Path) -> None:
    with Server() as gone:
        url = gone.url
    with pytest.raises(UserError, match="broke off after 0 bytes"):
        fetch(url, SHA256, tmp_path)


@pytest.mark.parametrize(
    ("url", "sha256", "message"),
    [
        ("ftp://host/x.zip", SHA256, "only http and https"),
        ("http://host/x.zip", None, "give its sha256"),
        ("http://host/x.zip", "abc", "give its sha256 .* have 'abc'"),
    ],
)
def test_addresses_without_proof_are_not_fetched(
    tmp_path: Path, url: str, sha256: str | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        fetch(url, sha256, tmp_path)


def test_the_downloader_alone_writes_where_it_is_told(server: Server, tmp_path: Path) -> None:
    ResumingDownloader(tmp_path / "x.part")(server.url, str(tmp_path / "out"), None)
    assert (tmp_path / "out").read_bytes() == CONTENT


def test_weights_go_on_where_a_killed_fetch_stopped(server: Server, tmp_path: Path) -> None:
    server.cut = [3 * BLOCK, 0, 0]
    with pytest.raises(UserError, match="run again to go on"):
        download_url(server.url, tmp_path)
    assert (tmp_path / "set.zip.part").stat().st_size == 3 * BLOCK
    assert download_url(server.url, tmp_path) == CONTENT
    assert server.asked[-1] == f"bytes={3 * BLOCK}-"
    assert list(tmp_path.iterdir()) == []
