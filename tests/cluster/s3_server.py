"""A local S3-compatible server (moto) with one empty bucket, on the loopback address."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crgan.common.errors import UserError

BUCKET = "crgan"


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: its address.
        environment: what its clients need; the keys are made up, the server takes any.
    """

    url: str
    environment: dict[str, str]

    def names(self) -> list[str]:
        """The objects in the bucket."""
        pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def read(self, name: str) -> bytes:
        """The content of an object."""
        content: bytes = self._client().get_object(Bucket=BUCKET, Key=name)["Body"].read()
        return content

    def _client(self):  # type: ignore[no-untyped-def]  # boto3 makes its classes as it runs
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=self.environment["AWS_DEFAULT_REGION"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[Server]:
    """The server within the block, on a port of the system's choice; it keeps all in memory."""
    log, nothing = folder / "s3.log", folder / "no-aws-config"
    nothing.touch()  # in place of the user's own
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        server = Server(
            _address(process, log),
            {
                "AWS_ACCESS_KEY_ID": "proof",
                "AWS_SECRET_ACCESS_KEY": secrets.token_hex(8),
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_CONFIG_FILE": str(nothing),
                "AWS_SHARED_CREDENTIALS_FILE": str(nothing),
                "no_proxy": "127.0.0.1",
            },
        )
        server._client().create_bucket(Bucket=BUCKET)
        yield server
    finally:
        process.terminate()
        process.wait()


def _address(process: subprocess.Popen[bytes], log: Path, seconds: float = 120) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        for line in log.read_text(errors="replace").splitlines():
            if "Running on http://127.0.0.1:" in line:
                url = line.split("Running on ")[1].strip()
                with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10):
                    return url
        time.sleep(0.2)
    raise UserError(f"the S3 server did not start:\n{log.read_text(errors='replace')[-2000:]}")
