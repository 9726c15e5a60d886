"""Open a report in a real browser, without network, and look for what people would stumble over.

python -m tests.browser.check_report results/report.html --shots .scratch/shots

At desktop and phone width, light and dark: no message on the console, nothing asked of the network,
no page wider than the screen, axe-core finds no violation of WCAG 2.1 A and AA (contrast is one of
its rules), every chart drew something, Tab reaches every control, the gallery and the provenance
panel answer to keys. Screenshots of each section are left for looking at.
"""

from __future__ import annotations

import json
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.session import SIZES, Problems, asked_of_network, command, finish, opened, read

THEMES = ("light", "dark")
SECTIONS = ("first", "tables", "renderings", "claims", "figures", "gallery", "samples", "curves",
            "cmc", "ranks", "embeddings", "masks", "runs")  # fmt: skip
_DRAWN = 60.0  # seconds that charts may take on a slow machine


def main(argv: list[str] | None = None) -> None:
    """Check one report; problems are printed, and end with status 1."""
    parser = command("check_report", __doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--themes", nargs="+", choices=THEMES, default=list(THEMES))
    args = read(parser, argv)
    problems: Problems = []
    for size in args.sizes:
        with opened(size) as browser:
            for theme in args.themes:
                began = time.monotonic()
                found = _check(browser, args.report.resolve().as_uri(), size, theme, args.shots)
                print(f"{size}, {theme}: {time.monotonic() - began:.0f} s", flush=True)
                for problem in found:
                    print(f"  {problem}", flush=True)
                problems += found
    finish(args, problems)


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
    """Scroll through the sections, wait for charts, take images."""
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
      // Without resultTypes axe writes a unique selector for every element that passes.
      const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];
      axe.run(arguments[0], {runOnly: tags, resultTypes: ["violations"]})
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


if __name__ == "__main__":
    main()
