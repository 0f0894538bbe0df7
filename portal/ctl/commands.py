"""The commands of portalctl and their flags.

Owns the words of the command line and its exit statuses: 0 done, 1 refused or not done for some,
2 usage, 3 the portal does not answer. What an act means is the portal's.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

from portal.ctl import jobs, tokens
from portal.ctl.completion import script
from portal.ctl.connection import CallFailed, CallRefused, Portal, basic, bearer
from portal.ctl.output import Column, as_json, as_table, plain
from portal.ctl.statuses import DONE, NOT_DONE, UNREACHABLE, USAGE, Usage

_AT_ONCE = 1000
_STATES = (
    "waiting", "enrolling", "expired", "required", "unused", "warning", "ok", "disapproved",
)  # fmt: skip
_FLAGS = {"request": "Requested", "require": "Required", "clear": "None"}
_STATUS = {1: "New", 2: "Approved", 3: "Disapproved"}

AGENTS: tuple[Column, ...] = (
    ("NAME", lambda agent: agent["ClientMachine"]),
    ("STATUS", lambda agent: _STATUS.get(agent["Status"], agent["Status"])),
    ("STATE", lambda agent: agent["Renewal"]["State"]),
    ("ENDS", lambda agent: agent["Renewal"]["CertificateNotAfter"]),
    ("FLAG", lambda agent: agent["AuthCertificateReenrollment"]),
    ("GROUP", lambda agent: agent["Renewal"]["Group"]),
    ("ID", lambda agent: agent["AgentId"]),
)
FORESEEN: tuple[Column, ...] = (
    ("NAME", lambda agent: agent["ClientMachine"]),
    ("OUTCOME", lambda agent: agent["Outcome"]),
    ("REASON", lambda agent: agent["Reason"]),
    *AGENTS[1:],
)


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


def _add_filters(command: argparse.ArgumentParser) -> None:
    command.add_argument("--state", choices=_STATES)
    command.add_argument("--expiring-days", type=_up_to(36_500), metavar="DAYS",
                         help="whose certificate ends within so many days")  # fmt: skip
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
    return _COMMANDS[options.command](_portal(options), options, out)


def _write_no_more(out: TextIO) -> None:
    """Let what is still buffered go nowhere, so that the interpreter's end says nothing of it."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def _told(text: str, status: int) -> int:
    print(f"portalctl: {plain(text)}", file=sys.stderr)
    return status


def _portal(options: argparse.Namespace) -> Portal:
    url = os.environ.get("PORTAL_URL", "")
    if not url:
        raise Usage("PORTAL_URL must be set.")
    makes_token = options.command == "token" and options.action == "create"
    ca_file = os.environ.get("PORTAL_CA_FILE")
    who = _password() if makes_token else _token()
    return Portal(url, who, Path(ca_file) if ca_file else None)


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


# --- which orchestrators ----------------------------------------------------------------------


def _query(options: argparse.Namespace, *, now: datetime) -> str:
    wanted = []
    if options.state:
        wanted.append(f"RenewalState -eq {options.state}")
    if options.expiring_days is not None:
        until = now + timedelta(days=options.expiring_days)
        wanted.append(f"Status -eq 2 AND CertificateNotAfter -le {until:%Y-%m-%dT%H:%M:%SZ}")
    if options.group:
        wanted.append(f"Group -eq {_quoted(options.group)}")
    if options.label:
        wanted.append(f"Label -eq {_quoted(options.label)}")
    if options.query:
        wanted.append(f"({options.query})")
    return " AND ".join(wanted)


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def _agents(portal: Portal, query: str, most: int | None = None) -> Iterator[Any]:
    given = {"QueryString": query} if query else {}
    return portal.each(
        "Agents", most=most, includeRenewal="true", SortField="CertificateNotAfter", **given
    )


def _named(portal: Portal, name: str) -> Any:
    """Return one orchestrator by id or exact name. Raises Usage."""
    try:
        return portal.get("Agents", str(UUID(name)), includeRenewal="true")
    except ValueError:
        pass
    found = list(_agents(portal, f"ClientMachine -eq {_quoted(name)}", most=2))
    if len(found) != 1:
        raise Usage(f"{'No' if not found else 'More than one'} orchestrator is called {name!r}.")
    return found[0]


def _chosen(portal: Portal, options: argparse.Namespace) -> list[Any]:
    query = _query(options, now=datetime.now(UTC))
    if bool(options.agents) is bool(query):
        raise Usage("Name orchestrators, or say with --state, --group … which: one of the two.")
    if query:
        return list(_agents(portal, query))
    return [_named(portal, name) for name in options.agents]


# --- commands ---------------------------------------------------------------------------------


def _list(portal: Portal, options: argparse.Namespace, out: TextIO) -> int:
    rows = list(_agents(portal, _query(options, now=datetime.now(UTC)), most=options.most))
    _show(rows, options, out)
    return DONE


def _show(rows: list[Any], options: argparse.Namespace, out: TextIO) -> None:
    print(as_json(rows) if options.output == "json" else as_table(rows, AGENTS), file=out)


def _explain(portal: Portal, options: argparse.Namespace, out: TextIO) -> int:
    told = portal.get("Agents", _named(portal, options.agent)["AgentId"], "Explanation")
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


def _renew(portal: Portal, options: argparse.Namespace, out: TextIO) -> int:
    def body(ids: list[str]) -> Any:
        return {"OrchestratorIds": ids, "Status": _FLAGS[options.how]}

    word = f"renew --{options.how}"
    return _carry_out(portal, options, out, word, "SetAuthCertificateReenrollment", body)


def _act(path: str) -> Callable[[Portal, argparse.Namespace, TextIO], int]:
    def command(portal: Portal, options: argparse.Namespace, out: TextIO) -> int:
        return _carry_out(portal, options, out, path.lower(), path, lambda ids: ids)

    return command


def _carry_out(
    portal: Portal,
    options: argparse.Namespace,
    out: TextIO,
    word: str,
    path: str,
    body: Callable[[list[str]], Any],
) -> int:
    rows = _chosen(portal, options)
    if not rows:
        # Standard output is for a table of them, or for the number of a job.
        if not options.as_job:
            _show(rows, options, out)
        print("portalctl: nobody is meant, nothing is done.", file=sys.stderr)
        return DONE
    parts = list(_parts([row["AgentId"] for row in rows]))
    if options.dry_run:
        told = [
            change
            for part in parts
            for change in portal.post("Agents", path, body=body(part), dry_run="true")["Changes"]
        ]
        outcomes = {change["Id"]: change for change in told}
        foreseen = [{**row, **_outcome(outcomes, row["AgentId"])} for row in rows]
        is_json = options.output == "json"
        print(as_json(foreseen) if is_json else as_table(foreseen, FORESEEN), file=out)
        return DONE
    if len(rows) > 1 and not options.yes:
        if not sys.stdin.isatty():
            raise Usage(f"This concerns {len(rows)} orchestrators: add --yes (or --dry-run).")
        if input(f"{word} {len(rows)} orchestrators? [y/N] ").strip().lower() != "y":
            return NOT_DONE
    if options.as_job:
        made: list[Any] = []
        try:
            for part in parts:
                made.append(portal.submit("Agents", path, body=body(part)))
        finally:
            # A job that was made runs, whatever became of the next part.
            numbers = "\n".join(str(job["Id"]) for job in made)
            if made:
                print(as_json(made) if options.output == "json" else numbers, file=out)
        return DONE
    failed: list[str] = []
    for part in parts:
        answer = portal.post("Agents", path, body=body(part)) or {}
        failed += answer.get("FailedOrchestratorIds") or []
    if options.output == "json":
        print(as_json({"asked": len(rows), "failed": failed}), file=out)
    else:
        print(f"{len(rows) - len(failed)} of {len(rows)} done.", file=out)
        for each in failed:
            print(f"not done: {plain(each)}", file=out)
    return NOT_DONE if failed else DONE


def _outcome(outcomes: Mapping[str, Any], pk: str) -> dict[str, Any]:
    change = outcomes.get(pk, {"Outcome": "skip", "Reason": "orchestrator_unknown"})
    return {"Outcome": change["Outcome"], "Reason": change["Reason"]}


def _parts(ids: list[str]) -> Iterable[list[str]]:
    return (ids[at : at + _AT_ONCE] for at in range(0, len(ids), _AT_ONCE))


_COMMANDS: dict[str, Callable[[Portal, argparse.Namespace, TextIO], int]] = {
    "list": _list,
    "explain": _explain,
    "renew": _renew,
    "approve": _act("Approve"),
    "disapprove": _act("Disapprove"),
    "reset": _act("Reset"),
    "job": jobs.run,
    "token": tokens.run,
}
