"""Open what `snakemake --report` wrote in a real browser, without network; compare with the files.

python -m tests.browser.check_snakemake_report report.html --project . --shots .scratch/shots

Every table, figure and rank list in it is byte for byte the file in the project and has a caption;
each category is shown with its entries, a caption opens beside its entry, an image is drawn; no
error on the console, nothing asked of the network. Screenshots are left for looking at.
"""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.browser.session import Problems, asked_of_network, command, finish, opened, read

_PATIENCE = 30.0
# Snakemake's page carries Tailwind's script, which says so on the console.
_KNOWN = "cdn.tailwindcss.com should not be used in production"


def main(argv: list[str] | None = None) -> None:
    """Check one report; problems are printed, and end with status 1."""
    parser = command("check_snakemake_report", __doc__)
    parser.add_argument("--project", type=Path, default=Path("."))
    args = read(parser, argv)
    with opened("desktop") as browser:
        browser.get(args.report.resolve().as_uri())
        problems = _check(browser, args.project, args.shots)
    for problem in problems:
        print(f"  {problem}")
    finish(args, problems)


def _check(browser: Chrome, project: Path, shots: Path) -> Problems:
    if not _text(browser, "Results"):
        return ["no menu"]
    found: dict[str, Any] = browser.execute_script("return results")
    problems = [p for path, entry in found.items() for p in _entry(project / path, entry)]
    categories: dict[str, dict[str, list[str]]] = browser.execute_script("return categories")
    for name, parts in categories.items():
        paths = [path for part in parts.values() for path in part]
        print(f"{name}: {len(paths)} files", flush=True)
        problems += _category(browser, name, paths, shots)
    messages = [entry["message"] for entry in browser.get_log("browser")]
    problems += [f"console: {message}" for message in messages if _KNOWN not in message]
    return problems + asked_of_network(browser) + ([] if found else ["no result is in it"])


def _entry(file: Path, entry: dict[str, Any]) -> Problems:
    """What differs from the file, or is not said of it."""
    problems = []
    held = base64.b64decode(entry["data_uri"].partition("base64,")[2])
    if not file.is_file() or held != file.read_bytes():
        problems.append(f"{file}: not what the report holds")
    if not (entry["caption"] or "").strip():
        problems.append(f"{file}: no caption")
    return problems


def _category(browser: Chrome, name: str, paths: list[str], shots: Path) -> Problems:
    """Its entries are listed; the first one's caption opens, and an image is drawn."""
    browser.refresh()
    for word in ("Results", name):
        if not (shown := _text(browser, word)):
            return [f"{name}: {word} is not on the page"]
        shown[0].click()
    end = time.monotonic() + _PATIENCE
    selector = "a[iconname='information-circle']"
    while len(browser.find_elements(By.CSS_SELECTOR, selector)) < len(paths):
        if time.monotonic() > end:
            return [f"{name}: fewer than {len(paths)} entries are listed"]
        time.sleep(0.2)
    shot = shots / f"snakemake-{name.lower().replace(' ', '-')}.png"
    browser.save_screenshot(str(shot.with_stem(f"{shot.stem}-list")))
    browser.find_elements(By.CSS_SELECTOR, selector)[0].click()
    problems = [] if _text(browser, "Description") else [f"{name}: no caption opens"]
    if paths[0].endswith(".png"):
        browser.find_elements(By.CSS_SELECTOR, "a[iconname='eye']")[0].click()
        drawn = "return [...document.images].some((i) => i.complete && i.naturalWidth > 64)"
        while not (seen := browser.execute_script(drawn)) and time.monotonic() < end:
            time.sleep(0.2)
        problems += [] if seen else [f"{name}: no image is drawn"]
    browser.save_screenshot(str(shot))
    return problems


def _text(browser: Chrome, word: str) -> list[Any]:
    """The visible elements of just this text, waited for."""
    end = time.monotonic() + _PATIENCE
    path = f"//*[normalize-space(text())='{word}']"
    while True:
        found = [e for e in browser.find_elements(By.XPATH, path) if e.is_displayed()]
        if found or time.monotonic() > end:
            return found
        time.sleep(0.2)


if __name__ == "__main__":
    main()
