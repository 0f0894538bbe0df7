"""Builds the reference orchestrator as one file: ``python -m orchestrators.agent.build``.

Owns which modules go into the file. The file runs on any host with Python 3.11 or later and the
``cryptography`` package; equal sources give an equal file.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from orchestrators.agent import files

_PACKAGES = ("agent", "protocol")
_MAIN = "from orchestrators.agent.__main__ import main\n\nraise SystemExit(main())\n"
_SHEBANG = b"#!/usr/bin/env python3\n"
_TIME = (1980, 1, 1, 0, 0, 0)


def build(output: Path) -> None:
    """Write the zipapp to ``output``."""
    root = Path(__file__).resolve().parents[2]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "__main__.py", _MAIN)
        for path in _sources(root):
            _add(archive, path.relative_to(root).as_posix(), path.read_text("utf-8"))
    output.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomic(output, _SHEBANG + buffer.getvalue())
    output.chmod(0o755)


def _sources(root: Path) -> Iterator[Path]:
    package = root / "orchestrators"
    yield package / "__init__.py"
    for name in _PACKAGES:
        yield from sorted((package / name).rglob("*.py"))


def _add(archive: zipfile.ZipFile, name: str, text: str) -> None:
    entry = zipfile.ZipInfo(name, _TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, text)


def main() -> None:
    """Build the file that the command line names."""
    parser = argparse.ArgumentParser(description="Build the reference orchestrator as one file.")
    parser.add_argument("--output", type=Path, required=True)
    output: Path = parser.parse_args().output
    build(output)
    print(output)


if __name__ == "__main__":
    main()
