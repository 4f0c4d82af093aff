"""Opens the pages in headless Chromium without a network: `make check-pages`.

For a telephone and a wide screen, light and dark: axe-core finds nothing, the page does not scroll sideways, all that
is interactive is reached and used by keyboard, and no request leaves the page.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from made_up import HOSTILE, dialogue, drawn_outcomes, made_up
from made_up_study import findings, plain_findings

from socratic_distill.reporting.findings import Findings
from socratic_distill.reporting.page import SolvedProblem, render_html
from socratic_distill.reporting.study_page import render_study_html
from socratic_distill.reporting.summary import Summary

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDTHS = (400, 1600)
SCHEMES = ("light", "dark")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
INTERACTIVE = "a[href], button, select, input, summary, [tabindex='0']"
BAD = """<!doctype html><html><head><title></title><style>button:focus { outline: none }</style></head><body>
<img src="https://elsewhere.example/x.png"><div style="width: 3000px; color: #eee; background: #fff">pale</div>
<button tabindex="-1">unreachable</button><details open onclick="return false"><summary>stuck</summary>x</details>
</body></html>"""


def main() -> int:
    """Check all pages and print what is wrong; 1 if anything is."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--shots", type=Path, metavar="DIR", help="write screenshots there")
    shots: Path | None = options.parse_args().shots
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.stderr.write("no Chromium to open the pages in; run: apt-get install chromium\n")
        return 1
    from playwright.sync_api import sync_playwright

    wrong = 0
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser)
        caught = {found.split(":")[0] for found in problems_of(chromium, written(folder, "bad", BAD), 400, "light")}
        if caught != {"axe", "sideways", "request", "keyboard"}:
            sys.stdout.write(f"these checks miss what is wrong with a bad page: they find only {sorted(caught)}\n")
            wrong += 1
        for name, page in pages():
            path = written(folder, name, page)
            for width in WIDTHS:
                for scheme in SCHEMES:
                    found = problems_of(chromium, path, width, scheme, shots=shots)
                    wrong += len(found)
                    sys.stdout.write(f"{name}, {width} px, {scheme}: {'; '.join(found) or 'fine'}\n")
                    sys.stdout.flush()
        chromium.close()
    return 1 if wrong else 0


def pages() -> Iterator[tuple[str, str]]:
    """Render the pages to check, from records that are made up."""
    outcomes = drawn_outcomes()
    summary = made_up(outcomes, [1 + index % 6 for index in range(200)])
    dialogues = [with_faults(dialogue(i, right={name: own[i] for name, own in outcomes.items()})) for i in range(80)]
    yield "report", render_html(summary, dialogues)
    yield "report-hostile", render_html(hostile_summary(summary), [hostile_dialogue(summary)])
    study = findings(resamples=1000)
    yield "study", render_study_html(study)
    yield "study-hostile", render_study_html(hostile_study(study))
    yield "study-plain", render_study_html(plain_findings())


def with_faults(problem: SolvedProblem) -> SolvedProblem:
    """Say of each wrong solution where it went wrong."""
    by = {
        name: solved
        if solved.correct
        else solved.model_copy(update={"fault": "reading" if solved.unreadable else "solver"})
        for name, solved in problem.by.items()
    }
    return problem.model_copy(update={"by": by})


def hostile_summary(summary: Summary) -> Summary:
    """Put markup and very long words wherever a page shows text."""
    long = "unbroken" * 30
    solves = {
        name if name == "cot" else f"{name}_{long}": solve.model_copy(update={"options": HOSTILE, "prompted": long})
        for name, solve in list(summary.solves.items())[:3]
    }
    update = {"name": long, "dataset": HOSTILE + long, "solves": solves, "notes": (HOSTILE, long), "comparisons": ()}
    return summary.model_copy(update=update)


def hostile_dialogue(summary: Summary) -> SolvedProblem:
    """Let every text of a solved problem be markup and very long words."""
    return with_faults(dialogue(1, right=dict.fromkeys(hostile_summary(summary).solves, False), text=HOSTILE * 3))


def hostile_study(study: Findings) -> Findings:
    """Put markup and very long words wherever a page shows text."""
    long = "unbroken" * 30
    first = study.cells[0]
    solves = {f"{name}_{long}": solve.model_copy(update={"options": HOSTILE}) for name, solve in first.solves.items()}
    pairs = tuple(pair.model_copy(update={"a": long, "b": HOSTILE}) for pair in first.comparisons)
    cell = first.model_copy(update={"name": long, "dataset": HOSTILE, "solves": solves, "comparisons": pairs})
    axis = study.axes[0].model_copy(update={"name": HOSTILE, "sentences": (HOSTILE + long,)})
    return study.model_copy(update={"name": long, "cells": (cell,), "axes": (axis,), "notes": (HOSTILE, long)})


def written(folder: str, name: str, page: str) -> Path:
    """Write a page to a file."""
    path = Path(folder) / f"{name}.html"
    path.write_text(page, encoding="utf-8")
    return path


def problems_of(browser: "Browser", path: Path, width: int, scheme: str, *, shots: Path | None = None) -> list[str]:
    """Open a page and list what is wrong with it, each beginning with the check that found it."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
        offline=True,
        reduced_motion="reduce",
    )
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(f"script: {error}"))
    page.goto(path.as_uri())
    if shots is not None:
        shots.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=shots / f"{path.stem}-{width}-{scheme}.png", full_page=True)
    by_keyboard = scheme == SCHEMES[0]  # colours change nothing of it
    found = [*violations(page), *sideways(page), *(used_by_keyboard(page) if by_keyboard else [])]
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.wait_for_timeout(100)  # what opens is filled on the event that follows
    opened = [*violations(page), *sideways(page), *(unreached(page) if by_keyboard else [])]
    found += [f"{problem} (all opened)" for problem in opened]
    if shots is not None:
        page.screenshot(path=shots / f"{path.stem}-{width}-{scheme}-opened.png", full_page=True)
    found += [f"request: {url}" for url in asked if url.split("#")[0] != path.as_uri()]
    context.close()
    return list(dict.fromkeys([*found, *said]))


def violations(page: "Page") -> list[str]:
    """List what axe-core finds."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"axe: {one['id']}, {one['nodes'][0]['html'][:120]} ({len(one['nodes'])} places)" for one in found]


def sideways(page: "Page") -> list[str]:
    """Tell by how much the page is wider than its window."""
    excess = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [f"sideways: the page is {excess} px too wide"] if excess > 0 else []


def unreached(page: "Page") -> list[str]:
    """List what is interactive and visible, and yet not come to by Tab, or not seen to have the focus."""
    wanted = page.evaluate(
        """(selector) => {
            const seen = [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility());
            seen.forEach((one, place) => { one.dataset.place = place; });
            document.body.tabIndex = -1;  // Tab goes on from where the focus was last: let that be the top
            document.body.focus();
            document.body.removeAttribute("tabindex");
            return seen.map((one) => one.outerHTML.slice(0, 100));
        }""",
        INTERACTIVE,
    )
    reached, unseen = set(), []
    for _ in range(len(wanted) + 2):
        page.keyboard.press("Tab")
        place, outline = page.evaluate(
            "[document.activeElement.dataset.place, getComputedStyle(document.activeElement).outlineStyle]"
        )
        if place is None:
            break
        reached.add(int(place))
        if outline == "none":
            unseen.append(f"keyboard: no focus is seen on {wanted[int(place)]}")
    missed = [f"keyboard: Tab never comes to {one}" for place, one in enumerate(wanted) if place not in reached]
    return [*missed[:3], *unseen[:3]]


def used_by_keyboard(page: "Page") -> list[str]:
    """List what does not do by keyboard what it is there for."""
    found = unreached(page)
    for place, details in enumerate(page.query_selector_all("details")[:40]):
        if not details.is_visible():
            continue
        before = details.evaluate("(one) => one.open")
        details.query_selector("summary").focus()
        page.keyboard.press("Enter")
        if details.evaluate("(one) => one.open") == before:
            found.append(f"keyboard: Enter does not toggle details {place}")
        page.keyboard.press("Enter")
    if skip := page.query_selector("a.skip"):
        skip.focus()
        page.keyboard.press("Enter")
        if not page.evaluate("document.querySelector(location.hash) !== null"):
            found.append("keyboard: the skip link leads nowhere")
    for place, table in enumerate(page.query_selector_all(".scroll")):
        if table.is_visible() and table.evaluate("(one) => one.scrollWidth > one.clientWidth + 2"):
            table.focus()
            page.keyboard.press("ArrowRight")
            page.wait_for_timeout(150)
            if not table.evaluate("(one) => one.scrollLeft"):
                found.append(f"keyboard: table {place} does not scroll")
    return [*found, *(solved_problems_read(page) if page.query_selector("#controls") else [])]


def solved_problems_read(page: "Page") -> list[str]:
    """Pick a solve, filter, search, open a problem and change the solve in it, all by keyboard."""
    found = []

    def count() -> str:
        return str(page.inner_text("#count"))

    def told(what: str, happened: bool) -> None:
        if not happened:
            found.append(f"keyboard: {what}")

    before = page.input_value("#solve")
    page.focus("#solve")
    page.keyboard.press("ArrowDown")
    told("the arrow does not change the solve", page.input_value("#solve") != before)
    if page.is_visible("#more"):
        rows = page.locator("#list > li").count()
        page.focus("#more")
        page.keyboard.press("Enter")
        told("Enter does not show more problems", page.locator("#list > li").count() > rows)
        told("focus is lost when more problems are shown", page.evaluate("document.activeElement.tagName") == "SUMMARY")
    page.focus("#list summary")
    page.keyboard.press("Enter")
    page.wait_for_selector("#list .tabs button")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    pressed = page.evaluate("document.activeElement.getAttribute('aria-pressed')")
    told("Enter does not change the solve that is read", pressed == "true")
    all_of_them = count()
    page.focus("#filter")
    page.keyboard.press("ArrowDown")
    told("the arrow does not change the filter", page.input_value("#filter") != "all" and bool(count()))
    page.focus("#search")
    page.keyboard.type("no such words anywhere")
    told("typing does not search", count() == "No problem matches.")
    page.fill("#search", "")
    page.select_option("#filter", "all")
    told("what was filtered does not come back", count() == all_of_them)
    return found


if __name__ == "__main__":
    sys.exit(main())
