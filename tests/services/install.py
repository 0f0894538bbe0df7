"""Installs the programs that tests need, where this user may: Debian, root or password-less sudo.

``python -m tests.services.install``. Owns nothing else; a program that cannot be had is named
here, and its tests are skipped (with CI=true: fail).
"""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.services.missing import DEBIAN_PACKAGES, find


def main() -> None:
    """Install what is missing, or say what to install."""
    missing = [what for what in DEBIAN_PACKAGES if find(what) is None]
    if not missing:
        return
    packages = [DEBIAN_PACKAGES[what] for what in missing]
    prefix = _privilege()
    if shutil.which("apt-get") and prefix is not None:
        print(f"Installing {', '.join(missing)} for the tests …", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        # RUNLEVEL=1 keeps invoke-rc.d from starting the packages' own services.
        subprocess.call([*prefix, "apt-get", "update", "-qq"], env=environment)
        subprocess.call(
            [
                *(*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"),
                *("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages),
            ],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
    still = [what for what in missing if find(what) is None]
    if still:
        names = " ".join(DEBIAN_PACKAGES[what] for what in still)
        print(
            f"Not available: {', '.join(still)}. Their tests are skipped. "
            f"To run them: apt-get install {names}",
            flush=True,
        )


def _privilege() -> list[str] | None:
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.call(["sudo", "-n", "true"]) == 0:
        return ["sudo", "-n"]
    return None


if __name__ == "__main__":
    main()
