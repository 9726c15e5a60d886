"""A browser without network for the checks of reports, and the command line they share."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

SIZES = {"desktop": (1300, 1000), "phone": (390, 844)}
_PATIENCE = 900  # seconds for one answer of the browser; axe looks at every element

Problems = list[str]


def command(name: str, description: str | None) -> argparse.ArgumentParser:
    """The arguments that every check has."""
    parser = argparse.ArgumentParser(
        prog=f"python -m tests.browser.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("report", type=Path)
    parser.add_argument("--shots", type=Path, default=Path(".scratch/shots"))
    return parser


def read(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """Read them, or end with status 2 and what is missing."""
    args = parser.parse_args(argv)
    for name in ("chromium", "chromedriver"):
        if not shutil.which(name):
            parser.error(f"{name} is needed: apt-get install chromium chromium-driver (Debian)")
    if not args.report.is_file():
        parser.error(f"{args.report}: no such file; make it first")
    args.shots.mkdir(parents=True, exist_ok=True)
    return args


def finish(args: argparse.Namespace, problems: Problems) -> None:
    """Say how it went, by the status as well."""
    print(f"{args.report}: {len(problems)} problems; screenshots in {args.shots}")
    raise SystemExit(bool(problems))


@contextmanager
def opened(size: str) -> Iterator[Chrome]:
    """A browser of that size that is offline and keeps what is asked of the network."""
    width, height = SIZES[size]
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        browser.command_executor.client_config.timeout = _PATIENCE
        browser.set_script_timeout(_PATIENCE)
        screen = {"width": width, "height": height, "deviceScaleFactor": 1}
        screen["mobile"] = size == "phone"
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        browser.execute_cdp_cmd("Network.enable", {})
        offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        browser.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
        yield browser
    finally:
        browser.quit()


def asked_of_network(browser: Chrome) -> Problems:
    """Whatever was asked of a network."""
    found = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            address = message["params"]["request"]["url"]
            if not address.startswith(("file:", "data:", "blob:")):
                found.append(f"asks the network for {address}")
    return found
