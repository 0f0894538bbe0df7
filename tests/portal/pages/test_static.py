"""What is vendored is what VENDOR.md says, and templates keep to the content security policy."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tests.services.processes import ROOT

VENDOR = ROOT / "static" / "vendor"
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
ICONS = set(
    re.findall(r'<symbol id="([^"]+)"', (VENDOR / "tabler-icons" / "icons.svg").read_text())
)


def test_the_vendored_files_have_the_listed_checksums():
    listed = re.findall(
        r"\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|", (VENDOR / "VENDOR.md").read_text()
    )
    kept = {
        str(path.relative_to(VENDOR))
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name not in ("LICENSE", "VENDOR.md")
    }
    assert {name for name, _ in listed} == kept
    for name, digest in listed:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
        assert (VENDOR / name).parent.joinpath("LICENSE").exists()


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.name)
def test_a_template_has_no_inline_style_script_or_handler(path: Path):
    text = path.read_text()
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=\"|javascript:", text)
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)


def test_every_icon_that_is_named_exists():
    named = {
        name for path in TEMPLATES for name in re.findall(r'{% icon "([^"]+)"', path.read_text())
    }
    for module in (*(ROOT / "portal" / "pages").rglob("*.py"), *(ROOT / "renewal").rglob("*.py")):
        if "selectors" in str(module) or "pages" in str(module):
            named |= set(re.findall(r'"((?:[a-z]+-)+(?:[a-z0-9]+))"', module.read_text())) & ICONS
    assert named <= ICONS, named - ICONS
    unused = ICONS - named
    assert not {name for name in unused if "-" in name}, unused


def test_the_state_colours_are_the_same_words_everywhere():
    css = (ROOT / "static" / "css" / "portal.css").read_text()
    assert {"healthy", "warning", "required", "failed", "waiting", "neutral"} == set(
        re.findall(r"^\.tone-([a-z]+) \{", css, re.MULTILINE)
    )
