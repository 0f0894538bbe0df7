"""Builds portalctl as one file: ``python -m portal.ctl.build --output dist/portalctl``."""

from __future__ import annotations

import argparse
import shutil
import zipapp
from pathlib import Path
from tempfile import TemporaryDirectory


def build(output: Path) -> None:
    """Write the file; it runs on any host with Python 3.11 or later and needs nothing else."""
    here = Path(__file__).resolve().parent
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        package = Path(folder, "portal", "ctl")
        package.mkdir(parents=True)
        package.with_name("__init__.py").touch()
        for source in here.glob("*.py"):
            shutil.copy(source, package)
        Path(folder, "__main__.py").write_text(
            "from portal.ctl.commands import main\n\nraise SystemExit(main())\n"
        )
        zipapp.create_archive(folder, output, interpreter="/usr/bin/env python3", compressed=True)


def main() -> None:
    """Build the file that the command line names."""
    parser = argparse.ArgumentParser(description="Build portalctl as one file.")
    parser.add_argument("--output", type=Path, required=True)
    build(parser.parse_args().output)


if __name__ == "__main__":
    main()
