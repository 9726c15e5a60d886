"""Open a report in a real browser, without network, and look for what people would stumble over.

python -m tests.browser.check_report results/report.html --shots .scratch/shots

At desktop and phone width, light and dark: no message on the console, nothing asked of the network,
no page wider than the screen, axe-core finds no violation of WCAG 2.1 A and AA (contrast is one of
its rules), every chart drew something, Tab reaches every control, the gallery and the provenance
panel answer to keys. Screenshots of each section are left for looking at.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

SIZES = {"desktop": (1300, 1000), "phone": (390, 844)}
THEMES = ("light", "dark")
SECTIONS = ("first", "tables", "renderings", "claims", "figures", "gallery", "samples", "curves",
            "cmc", "ranks", "embeddings", "masks", "runs")  # fmt: skip
_DRAWN = 60.0  # seconds that charts may take on a slow machine
_PATIENCE = 900  # seconds for one answer of the browser; axe looks at every element

Problems = list[str]


def main(argv: list[str] | None = None) -> None:
    """Check one report; problems are printed, and end with status 1."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.browser.check_report", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("report", type=Path)
    parser.add_argument("--shots", type=Path, default=Path(".scratch/shots"))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--themes", nargs="+", choices=THEMES, default=list(THEMES))
    args = parser.parse_args(argv)
    missing = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    if missing or not args.report.is_file():
        need = f"{args.report}: no such file; make report first"
        if missing:
            need = f"{missing[0]} is needed: apt-get install chromium chromium-driver (Debian)"
        print(f"{parser.prog}: {need}", file=sys.stderr)
        raise SystemExit(2)
    args.shots.mkdir(parents=True, exist_ok=True)
    problems: Problems = []
    for size in args.sizes:
        browser = open_browser(size)
        try:
            for theme in args.themes:
                print(f"{size}, {theme}", flush=True)
                found = _check(browser, args.report.resolve().as_uri(), size, theme, args.shots)
                for problem in found:
                    print(f"  {problem}", flush=True)
                problems += found
        finally:
            browser.quit()
    found_any = f"{len(problems)} problems" if problems else "nothing found"
    print(f"{args.report}: {found_any}; screenshots in {args.shots}")
    raise SystemExit(bool(problems))


def open_browser(size: str) -> Chrome:
    width, height = SIZES[size]
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    browser.command_executor.client_config.timeout = _PATIENCE
    browser.set_script_timeout(_PATIENCE)
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    return browser


def _check(browser: Chrome, address: str, size: str, theme: str, shots: Path) -> Problems:
    # the system's wish, which the page must follow by itself
    wish = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", wish)
    browser.get(address)
    problems = []
    if (shown := browser.execute_script("return document.documentElement.dataset.theme")) != theme:
        problems.append(f"the theme is {shown}")
    problems += _look(browser, f"{size}-{theme}", shots)
    wide = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    if wide[0] > wide[1]:
        problems.append(f"the page is {wide[0]} pixels wide, the screen {wide[1]}")
    problems += _axe(browser)
    if theme == "light":
        problems += _tab(browser)
        problems += _gallery(browser)
    problems += _panel(browser, shots / f"{size}-{theme}-panel.png")
    problems += [f"console: {entry['message']}" for entry in browser.get_log("browser")]
    return problems + asked_of_network(browser)


def _look(browser: Chrome, name: str, shots: Path) -> Problems:
    """Scroll through the sections, wait for charts, take pictures."""
    problems = []
    for section in SECTIONS:
        found = browser.find_elements(By.ID, section)
        if not found:
            problems.append(f"no section {section}")
            continue
        browser.execute_script("arguments[0].scrollIntoView({behavior: 'instant'})", found[0])
        end = time.monotonic() + _DRAWN
        charts = found[0].find_elements(By.CSS_SELECTOR, ".chart")
        while any(not _marks(browser, chart) for chart in charts) and time.monotonic() < end:
            time.sleep(0.2)
        problems += [f"a chart of {section} is empty" for c in charts if not _marks(browser, c)]
        browser.save_screenshot(str(shots / f"{name}-{section}.png"))
    return problems


def _marks(browser: Chrome, chart: Any) -> int:
    script = (
        "return arguments[0].querySelectorAll('svg .mark-group path, svg .mark-symbol path').length"
    )
    return int(browser.execute_script(script, chart))


def _axe(browser: Chrome, where: str = "body") -> Problems:
    """Violations below an element."""
    browser.execute_script((files("axe_playwright_python") / "axe.min.js").read_text())
    run = """
      const done = arguments[arguments.length - 1];
      axe.run(arguments[0], {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]})
        .then((found) => done(found.violations), (error) => done([{id: String(error), nodes: []}]));
    """
    return [
        f"axe: {found['id']}: {found.get('help', '')}: "
        + json.dumps([node["target"] for node in found["nodes"][:3]])
        for found in browser.execute_async_script(run, where)
    ]


def _tab(browser: Chrome) -> Problems:
    """Every control that is to be seen is reached by Tab, and Tab comes to an end."""
    controls = browser.execute_script("""
      window.reached = new Set();
      document.addEventListener("focusin", (event) => window.reached.add(event.target));
      document.activeElement.blur();
      scrollTo({top: 0, behavior: "instant"});
      return [...document.querySelectorAll("a[href], button, select, input, summary")]
        .filter((one) => one.checkVisibility({checkVisibilityCSS: true}) && !one.closest("dialog"))
        .length;
    """)
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    for _ in range(2 * controls + 200):  # regions that scroll are stops too
        browser.switch_to.active_element.send_keys(Keys.TAB)
        if browser.execute_script("return document.activeElement === document.body"):
            break
    left = browser.execute_script("""
      return [...document.querySelectorAll("a[href], button, select, input, summary")]
        .filter((one) => one.checkVisibility({checkVisibilityCSS: true}) && !one.closest("dialog"))
        .filter((one) => !window.reached.has(one)).map((one) => one.outerHTML.slice(0, 90));
    """)
    return (
        [f"Tab does not reach {len(left)} of {controls} controls, such as {left[0]}"]
        if left
        else []
    )


def _gallery(browser: Chrome) -> Problems:
    queries = browser.find_elements(By.CSS_SELECTOR, "#g-queries button")
    if len(queries) < 2:
        return []
    before = browser.find_element(By.ID, "g-left").get_attribute("innerHTML")
    queries[0].send_keys(Keys.ARROW_RIGHT)
    problems = []
    if queries[1].get_attribute("aria-pressed") != "true":
        problems.append("the right arrow does not choose the next query")
    if browser.find_element(By.ID, "g-left").get_attribute("innerHTML") == before:
        problems.append("another query shows the same ranks")
    marks = browser.find_elements(By.CSS_SELECTOR, "#g-left .ranked li")
    if not marks or any(mark.text.split()[1] not in "✓✗" for mark in marks):
        problems.append("ranks without a mark besides colour")
    return problems


def _panel(browser: Chrome, shot: Path) -> Problems:
    """A number leads to its provenance, and Escape leads back."""
    numbers = browser.find_elements(By.CSS_SELECTOR, 'table.measured a[href^="#from-"]')
    if not numbers:
        return []
    browser.execute_script("arguments[0].focus({preventScroll: false})", numbers[0])
    numbers[0].send_keys(Keys.ENTER)
    time.sleep(0.5)
    panel = browser.find_element(By.ID, "panel")
    if not panel.is_displayed() or not panel.find_elements(By.CSS_SELECTOR, 'a[href^="#job-"]'):
        return ["a number does not lead to its provenance"]
    browser.save_screenshot(str(shot))
    problems = _axe(browser, "#panel")
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    time.sleep(0.5)
    if panel.is_displayed():
        problems.append("Escape does not close the provenance")
    elif browser.switch_to.active_element != numbers[0]:
        problems.append("closing the provenance does not lead back to the number")
    return problems


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


if __name__ == "__main__":
    main()
