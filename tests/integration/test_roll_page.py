# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A roll's page in a real browser: it asks for nothing, fits a phone, can be read in the dark, and prints."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.roll_page import page as page_of
from ansible_collections.holdfast.kafka.plugins.module_utils.roll_summary import summary

from tests.integration.browser import COMMAND, Page, browser
from tests.unit.plugins.module_utils.roll_story import BEGAN, FAILED, NOTED, WHOLE, told

pytestmark = pytest.mark.skipif(
    shutil.which(COMMAND) is None, reason="chromium is not installed: `make test-page` installs it and runs this"
)
STORIES = {"whole": WHOLE, "failed": FAILED}
# A color as the browser computes it, as its relative luminance.
LUMINANCE = """(color => { const [r, g, b] = color.match(/[\\d.]+/g).map(x => { x /= 255;
 return x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4 }); return 0.2126 * r + 0.7152 * g + 0.0722 * b })"""
CONTRAST = """(() => { const luminance = %s; const paper = luminance(getComputedStyle(document.body).backgroundColor);
 return [...document.querySelectorAll('%s')].map(one => { const style = getComputedStyle(one);
 const ink = luminance(one instanceof SVGElement ? style.fill : style.color);
 return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05) }) })()"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One browser for all."""
    with browser(tmp_path_factory.mktemp("browser") / "profile") as page:
        yield page


@pytest.fixture(params=sorted(STORIES))
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The page of a roll that ended well, and of one that did not."""
    events = told(STORIES[request.param])
    path = tmp_path / f"{request.param}.html"
    path.write_text(page_of(summary(events, NOTED), events), encoding="utf-8")
    return path


def complaints(tab: Page, file: Path) -> list[Any]:
    """Return what the page asked for beside itself, and what the browser did not like."""
    found: list[Any] = []
    for event in tab.events:
        parameters = event["params"]
        if event["method"] == "Network.requestWillBeSent" and parameters["request"]["url"] != file.as_uri():
            found.append(parameters["request"]["url"])
        if event["method"] in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            found.append(parameters)
    return found


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_asks_for_nothing_and_fits(tab: Page, file: Path, width: int) -> None:
    tab.open(file, width, 800)
    assert complaints(tab, file) == []
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert tab.value("document.querySelectorAll('.wide').length") >= 4


def test_complaints_are_seen(tab: Page, tmp_path: Path) -> None:
    file = tmp_path / "bad.html"
    head = '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'">'
    body = '<script>alert(1)</script><img src="file:///nowhere.png"><p style="width:3000px">wide</p>'
    file.write_text(f"<!doctype html><html><head>{head}</head><body>{body}</body></html>")
    tab.open(file, 390, 800)
    tab.value("1")
    assert complaints(tab, file)


def test_every_bar_is_drawn_inside_its_row(tab: Page, file: Path) -> None:
    tab.open(file, 1280, 800)
    events = told(STORIES[file.stem])
    stopped = [node for node in summary(events)["nodes"] if node["stop_start_seconds"] is not None]
    boxes = tab.value(
        "[...document.querySelectorAll('svg[role=img] rect.down')].map(one => { const a = one.getBoundingClientRect(),"
        " b = one.ownerSVGElement.getBoundingClientRect();"
        " return a.width > 0 && a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom })"
    )
    assert boxes == [True] * len(stopped)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_by_day_and_at_night(tab: Page, file: Path, scheme: str) -> None:
    tab.open(file, 1280, 800, prefers_color_scheme=scheme)
    for what in ("h1,p,dt,dd,th,td,li,.verdict", "svg text"):
        contrasts = tab.value(CONTRAST % (LUMINANCE, what))
        assert contrasts, what
        assert min(contrasts) >= 4.5, (what, min(contrasts))
    bars = tab.value(CONTRAST % (LUMINANCE, "rect.gate,rect.down,rect.sync"))
    assert min(bars) >= 2, "a bar stands out from the paper"


def test_it_prints(tab: Page, file: Path) -> None:
    tab.open(file, 1280, 800)
    assert tab.pdf().startswith(b"%PDF-")


def test_the_picture_of_the_documentation(tab: Page, tmp_path: Path) -> None:
    """With HOLDFAST_PAGE_PICTURES set, it is also kept there."""
    folder = Path(os.environ.get("HOLDFAST_PAGE_PICTURES") or tmp_path)
    source = folder / "roll.html"
    if not source.is_file():
        events = told(WHOLE)
        assert events[0].at.startswith("2026-01-01"), BEGAN
        source = tmp_path / "roll.html"
        source.write_text(page_of(summary(events, NOTED), events), encoding="utf-8")
    for name, width, scheme in (("roll", 1100, "light"), ("roll-phone", 390, "light"), ("roll-dark", 1100, "dark")):
        tab.open(source, width, 900, prefers_color_scheme=scheme)
        tab.screenshot(folder / f"{name}.png")
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
