"""What is vendored is what VENDOR.md says, and templates keep to the content security policy."""

from __future__ import annotations

import gzip
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


def fetched(client, address: str) -> tuple[int, bytes, dict[str, str]]:
    """What travels for a browser that reads gzip, what is in it, and its headers."""
    reply = client.get(address, headers={"Accept-Encoding": "gzip, deflate, br"})
    assert reply.status_code == 200, address
    body = b"".join(reply) if reply.streaming else reply.content
    packed = reply.headers.get("Content-Encoding") == "gzip"
    return len(body), gzip.decompress(body) if packed else body, dict(reply.headers)


@pytest.mark.parametrize(
    "address", ["/", "/orchestrators", "/forecast", "/certificates", "/enrollments", "/api"]
)
def test_a_first_load_is_small_and_waits_for_one_stylesheet_alone(address, fleet, admin):
    travelled, page, _ = fetched(admin, address)
    text = page.decode()
    head = text.partition("</head>")[0]
    sheets = re.findall(r'<link rel="stylesheet" href="([^"]+)"', head)
    scripts = re.findall(r"<script[^>]*>", text)
    assert len(sheets) == 1
    assert scripts
    assert all(" defer" in script for script in scripts)
    needed = {
        *sheets,
        *re.findall(r'(?:src|data-stylesheet|<use href|rel="icon"[^>]*href)="([^"#]+)', text),
    }
    assert any("icons.svg" in file for file in needed)
    travelled += sum(fetched(admin, file)[0] for file in needed)
    assert travelled < 150_000, travelled


def test_the_stylesheet_is_kept_for_as_long_as_it_is_the_same(client, db):
    address = re.search(r'rel="stylesheet" href="([^"]+)"', client.get("/sign-in").content.decode())
    size, content, headers = fetched(client, address[1])
    assert content.endswith((ROOT / "static" / "css" / "portal.css").read_bytes())
    assert content.startswith((VENDOR / "bootstrap" / "bootstrap.min.css").read_bytes())
    assert size < 50_000
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
    # A browser keeps no copy for each set of cookies.
    assert headers["Vary"] == "Accept-Encoding"
    assert fetched(client, "/style.css?v=of-yesterday")[2]["Cache-Control"] == "no-cache"


def test_nothing_is_compressed_that_would_tell_a_secret_or_was_not_asked_for(admin, fleet):
    def encoding(reply) -> str | None:
        return reply.headers.get("Content-Encoding")

    asked = {"headers": {"Accept-Encoding": "gzip"}}
    assert encoding(admin.get("/orchestrators", **asked)) == "gzip"
    for accepted in ("", "identity", "br", "gzip;q=0", "deflate, gzip; q=0.0"):
        headers = {"Accept-Encoding": accepted}
        assert encoding(admin.get("/orchestrators", headers=headers)) is None, accepted
    # What a form is answered may show a secret once.
    assert encoding(admin.post("/orchestrators/add", {"name": "rack-7"}, **asked)) is None
    assert encoding(admin.get("/KeyfactorAPI/Agents", **asked)) is None
    assert encoding(admin.get("/orchestrators/export.csv", **asked)) is None


def test_a_file_that_is_the_same_is_not_sent_again(client, db):
    headers = fetched(client, "/static/js/portal.js")[2]
    again = client.get(
        "/static/js/portal.js",
        headers={"Accept-Encoding": "gzip", "If-Modified-Since": headers["Last-Modified"]},
    )
    assert again.status_code == 304
