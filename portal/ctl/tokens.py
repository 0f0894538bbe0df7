"""portalctl token: one's own API tokens, made, listed and revoked.

Owns these commands. A token makes no other one, so that ``create`` signs in with a password.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, TextIO

from portal.ctl.connection import Portal
from portal.ctl.output import Column, as_json, as_table
from portal.ctl.statuses import DONE, Usage

_TOKENS: tuple[Column, ...] = (
    ("ID", lambda token: token["Id"]),
    ("NAME", lambda token: token["Name"]),
    ("STATE", lambda token: token["State"]),
    ("EXPIRES", lambda token: token["ExpiresAt"]),
    ("LAST USED", lambda token: token["LastUsed"]),
    ("SCOPES", lambda token: " ".join(token["Scopes"] or ["all"])),
    ("NETWORKS", lambda token: " ".join(token["Networks"])),
)


def add_to(commands: Any) -> None:
    """Add the command and its flags."""
    token = commands.add_parser("token", help="your own API tokens", allow_abbrev=False)
    actions = token.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser(
        "create",
        help="make one; its text is shown this once",
        description="Signs in with PORTAL_USER and PORTAL_PASSWORD, or asks: a token makes no "
        "other token.",
        allow_abbrev=False,
    )
    create.add_argument("name")
    create.add_argument("--days", type=int, help="how long it lasts; default: 90")
    create.add_argument("--scope", action="append", metavar="ACCESS",
                        help="an access string that it is limited to; may be repeated")  # fmt: skip
    create.add_argument("--network", action="append", metavar="CIDR",
                        help="a network that it works from; may be repeated")  # fmt: skip
    actions.add_parser("list", help="all of them, the newest first", allow_abbrev=False)
    revoke = actions.add_parser("revoke", help="refused from now on", allow_abbrev=False)
    revoke.add_argument("token", metavar="TOKEN", help="its id or name")


def run(portal: Portal, options: argparse.Namespace, out: TextIO) -> int:
    """Carry out a command. Raises CallFailed, CallRefused, Usage."""
    if options.action == "create":
        return _create(portal, options, out)
    rows = list(portal.each("Tokens"))
    if options.action == "list":
        print(as_json(rows) if options.output == "json" else as_table(rows, _TOKENS), file=out)
        return DONE
    portal.delete("Tokens", str(_named(rows, options.token)["Id"]))
    return DONE


def _create(portal: Portal, options: argparse.Namespace, out: TextIO) -> int:
    body = {
        "Name": options.name,
        "Days": options.days,
        "Scopes": options.scope,
        "Networks": options.network,
    }
    made = portal.post_secret(
        "Tokens", body={name: value for name, value in body.items() if value is not None}
    )
    if options.output == "json":
        print(as_json(made), file=out)
        return DONE
    # The text alone, so that it can be written to a file.
    print(made["Token"], file=out)
    print(f"Token {made['Id']} ends {made['ExpiresAt']}; it is not shown again.", file=sys.stderr)
    return DONE


def _named(rows: list[Any], text: str) -> Any:
    usable = [row for row in rows if row["Name"] == text and row["State"] == "Usable"]
    found = [row for row in rows if str(row["Id"]) == text] or usable
    if not found:
        raise Usage(f"You have no token {text!r}.")
    return found[0]
