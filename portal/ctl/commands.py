"""The commands of portalctl: from a command line to its exit status.

Owns the exit statuses: 0 done, 1 refused or not done for some, 2 usage, 3 the portal does not
answer. The words of the command line are `arguments.py`'s, acts are `acts.py`'s.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO

from portal.ctl import jobs, tokens
from portal.ctl.acts import act, renew
from portal.ctl.agent_table import show
from portal.ctl.arguments import parser
from portal.ctl.completion import script
from portal.ctl.connection import CallFailed, CallRefused, Portal
from portal.ctl.output import as_json, plain
from portal.ctl.selection import agents, named, query
from portal.ctl.sign_in import portal
from portal.ctl.statuses import DONE, NOT_DONE, UNREACHABLE, USAGE, Usage


def main(arguments: Sequence[str] | None = None, out: TextIO = sys.stdout) -> int:
    """Carry out a command line; return the exit status."""
    options = parser().parse_args(arguments)
    try:
        status = _carried_out(options, out)
        # Here, where it can be told, and not when the interpreter ends.
        out.flush()
        return status
    except Usage as problem:
        return _told(str(problem), USAGE)
    except CallRefused as refused:
        return _told(f"{refused} ({refused.code})", NOT_DONE)
    except CallFailed as failed:
        return _told(str(failed), UNREACHABLE)
    except BrokenPipeError:
        _write_no_more(out)
        return NOT_DONE
    except OSError as error:
        _write_no_more(out)
        return _told(f"the answer cannot be written: {error.strerror or error}", NOT_DONE)


def _carried_out(options: argparse.Namespace, out: TextIO) -> int:
    if options.command == "completion":
        print(script(options.shell, parser()), file=out)
        return DONE
    return _COMMANDS[options.command](portal(options), options, out)


def _write_no_more(out: TextIO) -> None:
    """Let what is still buffered go nowhere, so that the interpreter's end says nothing of it."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def _told(text: str, status: int) -> int:
    print(f"portalctl: {plain(text)}", file=sys.stderr)
    return status


def _list(portal: Portal, options: argparse.Namespace, out: TextIO) -> int:
    rows = list(agents(portal, query(options, now=datetime.now(UTC)), most=options.most))
    show(rows, options, out)
    return DONE


def _explain(portal: Portal, options: argparse.Namespace, out: TextIO) -> int:
    told = portal.get("Agents", named(portal, options.agent)["AgentId"], "Explanation")
    if options.output == "json":
        print(as_json(told), file=out)
        return DONE
    print(f"{plain(told['ClientMachine'])}: {told['State']}. {told['Meaning']}", file=out)
    for outlook in told["Outlooks"]:
        by = outlook["Thumbprint"] or f"credential {outlook['Credential']}"
        print(f"\nWith {plain(by)} ({plain(outlook['Standing'])}):", file=out)
        if outlook["NotAfter"]:
            print(f"  ends {outlook['NotAfter']}, in {outlook['DaysLeft']} days; "
                  f"warned from {outlook['WarningFrom']}, "
                  f"required from {outlook['ExpiryFrom']}", file=out)  # fmt: skip
        for title, answer in (("now", outlook["WithoutCSR"]), ("with a CSR", outlook["WithCSR"])):
            said = f"{answer['Code']}: {answer['Message']}" if answer["Code"] else ""
            print(
                f"  {title}: {answer['Outcome']} {plain(said) if said else ''}".rstrip(), file=out
            )
            if answer["Remedy"]:
                print(f"    {plain(answer['Remedy'])}", file=out)
    if told["Obstacle"]:
        print(f"\nWhat stands against it: {plain(told['Obstacle'])}", file=out)
    return DONE


_COMMANDS: dict[str, Callable[[Portal, argparse.Namespace, TextIO], int]] = {
    "list": _list,
    "explain": _explain,
    "renew": renew,
    "approve": act("Approve"),
    "disapprove": act("Disapprove"),
    "reset": act("Reset"),
    "job": jobs.run,
    "token": tokens.run,
}
