"""The command line of portalctl: its commands and their flags.

Owns the words; what a command does is `commands.py`'s.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable

from portal.ctl import jobs, tokens

_STATES = (
    "waiting", "enrolling", "expired", "required", "unused", "warning", "ok", "disapproved",
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Return the whole command line."""
    top = argparse.ArgumentParser(
        prog="portalctl",
        description="The orchestrators' certificates, from a command line.",
        epilog="PORTAL_URL and PORTAL_TOKEN (or PORTAL_TOKEN_FILE) say where and who (for token "
        "create: PORTAL_USER and PORTAL_PASSWORD, or PORTAL_PASSWORD_FILE); "
        "PORTAL_CA_FILE names the portal's issuer if the system does not know it. "
        "Exit status: 0 done, 1 refused, 2 usage, 3 the portal does not answer.",
        allow_abbrev=False,
    )
    top.add_argument("--output", choices=("table", "json"), default="table")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    listed = commands.add_parser("list", help="orchestrators", allow_abbrev=False)
    _add_filters(listed)
    listed.add_argument("--most", type=_up_to(1_000_000), metavar="ROWS", help="default: all")

    explain = commands.add_parser(
        "explain", help="why one is in its state, and what comes next", allow_abbrev=False
    )
    explain.add_argument("agent", metavar="AGENT", help="name or id")

    renew = commands.add_parser("renew", help="ask for new certificates", allow_abbrev=False)
    how = renew.add_mutually_exclusive_group(required=True)
    how.add_argument("--request", action="store_const", const="request", dest="how",
                     help="work goes on until it has renewed")  # fmt: skip
    how.add_argument("--require", action="store_const", const="require", dest="how",
                     help="no further session without a new certificate")  # fmt: skip
    how.add_argument("--clear", action="store_const", const="clear", dest="how",
                     help="take the request back")  # fmt: skip
    _add_selection(renew)

    for word, text in {
        "approve": "let new ones work, with what they came forward with",
        "disapprove": "let them work no longer",
        "reset": "make them new again; they need another approval",
    }.items():
        _add_selection(commands.add_parser(word, help=text, allow_abbrev=False))

    jobs.add_to(commands)
    tokens.add_to(commands)
    completion = commands.add_parser("completion", help="completion for a shell")
    completion.add_argument("shell", choices=("bash", "zsh"))
    return top


def _up_to(most: int) -> Callable[[str], int]:
    """Return what reads a whole number from 1 to ``most`` on the command line."""

    def number(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"a whole number from 1 to {most}")
        return int(text)

    return number


def _code(text: str) -> str:
    """Return a code of the agent protocol as the API takes it; ``none`` is its NULL."""
    if text.lower() == "none":
        return "NULL"
    if not re.fullmatch(r"[A-F][0-9A-F]{7}", text.upper(), re.ASCII):
        raise argparse.ArgumentTypeError("a code such as A0100008, or none")
    return text.upper()


def _add_filters(command: argparse.ArgumentParser) -> None:
    command.add_argument("--state", choices=_STATES)
    command.add_argument("--expiring-days", type=_up_to(36_500), metavar="DAYS",
                         help="whose certificate ends within so many days")  # fmt: skip
    command.add_argument("--not-seen-days", type=_up_to(3660), metavar="DAYS",
                         help="who has not called for so many days (UTC)")  # fmt: skip
    command.add_argument("--never-seen", action="store_true", help="who has never called")
    command.add_argument("--offline", action="store_true",
                         help="approved, and silent for two lengths of a session")  # fmt: skip
    command.add_argument("--service-account", metavar="NAME",
                         help="whose permissions they have; the API's Identity")  # fmt: skip
    command.add_argument("--last-answer", type=_code, metavar="CODE",
                         help="such as A0100008; none: no warning or error")  # fmt: skip
    command.add_argument("--group")
    command.add_argument("--label", metavar="KEY=VALUE")
    command.add_argument("--query", metavar="QUERY", help="in the API's query language")


def _add_selection(command: argparse.ArgumentParser) -> None:
    command.add_argument("agents", metavar="AGENT", nargs="*", help="names or ids")
    _add_filters(command)
    command.add_argument("--dry-run", action="store_true",
                         help="what would become of each; changes nothing")  # fmt: skip
    command.add_argument("--as-job", action="store_true",
                         help="in the background: print the number of the job")  # fmt: skip
    command.add_argument("--yes", action="store_true", help="do not ask before more than one")
