"""`make screenshots`: every page, in both themes and at two widths, to be looked at by a person.

Owns the pictures and where they go (`screenshots/`, ignored by git). No test: pytest finds it only
when it is named. PAGES="orchestrators settings" takes the pages whose path has one of these words.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.portal.pages.test_browser import addresses, chromium, opened, site

__all__ = ["chromium", "site"]

FOLDER = Path(__file__).parents[3] / "screenshots"
WIDTHS = (1280, 375)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures(chromium, site, theme, width):
    url, fleet = site
    page, _ = opened(chromium, url, theme=theme, width=width)
    FOLDER.mkdir(exist_ok=True)
    wanted = os.environ.get("PAGES", "").split()
    names = {str(record.pk): name for name, record in vars(fleet).items()}
    for path in addresses(fleet):
        if wanted and not any(
            word in path or (word == "dashboard" and path == "/") for word in wanted
        ):
            continue
        page.goto(url + path)
        shown = re.sub("|".join(names), lambda found: names[found.group()], path)
        name = re.sub(r"[^A-Za-z0-9]+", "-", shown).strip("-") or "dashboard"
        page.screenshot(path=FOLDER / f"{name}-{theme}-{width}.png", full_page=True)
