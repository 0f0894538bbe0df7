"""Where the portal is and who calls it: from the environment, or asked at the terminal.

Owns the names of the variables. A secret is never an argument: those are seen by everybody.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from portal.ctl.connection import Portal, basic, bearer
from portal.ctl.statuses import Usage


def portal(options: argparse.Namespace) -> Portal:
    """Return the portal that a command is for. Raises Usage."""
    url = _address()
    makes_token = options.command == "token" and options.action == "create"
    ca_file = os.environ.get("PORTAL_CA_FILE")
    who = _password() if makes_token else _token()
    return Portal(url, who, Path(ca_file) if ca_file else None)


def _address() -> str:
    """Return where the portal is; a secret goes in clear to nobody but this host."""
    url = os.environ.get("PORTAL_URL", "")
    if not url:
        raise Usage("PORTAL_URL must be set.")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise Usage("PORTAL_URL is no address.") from None
    if not (host and (parts.scheme == "https" or (parts.scheme == "http" and _is_here(host)))):
        raise Usage("PORTAL_URL begins with https://, or with http:// for this host alone.")
    return url


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _token() -> str:
    token = _secret("PORTAL_TOKEN")
    if not token:
        raise Usage("PORTAL_TOKEN (or PORTAL_TOKEN_FILE) must be set.")
    if not token.isascii() or not token.isprintable():
        raise Usage("The token has a character that no token has.")
    return bearer(token)


def _password() -> str:
    user, password = os.environ.get("PORTAL_USER", ""), _secret("PORTAL_PASSWORD")
    if sys.stdin.isatty():
        try:
            user = user or _asked("User: ")
            password = password or getpass.getpass("Password: ")
        except EOFError:
            raise Usage("Nobody answered.") from None
    if not user or not password:
        raise Usage("PORTAL_USER and PORTAL_PASSWORD (or PORTAL_PASSWORD_FILE) must be set.")
    return basic(user, password)


def _asked(question: str) -> str:
    # Standard output is for the answer, which may go to a file.
    print(question, end="", file=sys.stderr, flush=True)
    return input()


def _secret(name: str) -> str:
    """Return what an environment variable says, or the file that its sibling names."""
    value = os.environ.get(name, "")
    if not value and (file := os.environ.get(f"{name}_FILE")):
        try:
            return Path(file).read_text().strip()
        except (OSError, ValueError) as error:
            raise Usage(f"{file}: {getattr(error, 'strerror', None) or 'it is no text'}") from None
    return value
