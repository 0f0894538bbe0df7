"""portalctl as its users have it: the built file, run as a program, against a running server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from orchestrators.models import Orchestrator, Reenrollment, Status
from portal.access.models import User
from portal.access.tokens import issue_token
from portal.ctl import acts
from portal.ctl.build import build
from portal.ctl.commands import main
from portal.ctl.output import as_table
from renewal.bulk import work
from renewal.models import BulkJob
from tests.portal.access.conftest import TESTER
from tests.portal.pages import fleet as rows

pytestmark = pytest.mark.django_db(transaction=True)
Ctl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fleet() -> rows.Fleet:
    return rows.fleet(timezone.now())


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("dist") / "portalctl"
    build(output)
    return output


@pytest.fixture
def ctl(program: Path, fleet: rows.Fleet, live_server: Any) -> Ctl:
    lasts = timedelta(days=1)
    ada = rows.user("ada", "Administrator")
    _, token = issue_token(ada, "ctl", lasts=lasts, actor=TESTER, now=timezone.now())

    def run(
        *arguments: str, stdout: Any = subprocess.PIPE, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        settings = {"PORTAL_URL": live_server.url, "PORTAL_TOKEN": token} | environment
        return subprocess.run(
            # -I: nothing of the checkout is importable.
            [sys.executable, "-I", str(program), *arguments],
            env={"PATH": os.environ["PATH"], **settings},
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )

    return run


@pytest.fixture
def portalctl_here(
    ctl: Ctl, live_server: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """The command in this process, with parts of another size: nobody has 1,000 to wait for."""
    user = User.objects.get(username="ada")
    lasts = timedelta(days=1)
    _, token = issue_token(user, "here", lasts=lasts, actor=TESTER, now=timezone.now())
    monkeypatch.setenv("PORTAL_URL", live_server.url)
    monkeypatch.setenv("PORTAL_TOKEN", token)

    def run(*arguments: str, part: int) -> tuple[int, str, str]:
        monkeypatch.setattr(acts, "_AT_ONCE", part)
        out = StringIO()
        status = main(arguments, out)
        return status, out.getvalue(), capsys.readouterr().err

    return run


def fresh(orchestrator: Orchestrator) -> Orchestrator:
    return Orchestrator.objects.get(pk=orchestrator.pk)


def test_it_lists_as_a_table_and_as_json(ctl: Ctl, fleet: rows.Fleet) -> None:
    table = ctl("list")
    assert (table.returncode, table.stderr) == (0, "")
    head, *lines = table.stdout.splitlines()
    assert head.split() == ["NAME", "STATUS", "STATE", "ENDS", "FLAG", "GROUP", "ID"]
    assert len(lines) == Orchestrator.objects.count()
    found = json.loads(ctl("--output", "json", "list", "--state", "expired").stdout)
    assert [agent["AgentId"] for agent in found] == [str(fleet.expired.pk)]


FILTERS = {
    "not seen for days": (("--not-seen-days", "30"), {"warned"}),
    "never seen": (("--never-seen",), {"enrolling"}),
    "offline": (("--offline",), {"warned"}),
    "a service account": (("--service-account", 'svc "Berlin"'), {"calm"}),
    "the last answer": (("--last-answer", "a0100008"), {"must_renew"}),
    "two filters": (("--offline", "--last-answer", "none"), set()),
}


@pytest.mark.parametrize(("filters", "found"), FILTERS.values(), ids=FILTERS)
def test_a_filter_of_the_page_is_an_option(
    portalctl_here: Callable[..., tuple[int, str, str]],
    fleet: rows.Fleet,
    filters: tuple[str, ...],
    found: set[str],
) -> None:
    now = timezone.now()
    account = User.objects.create(username='svc "Berlin"', is_service_account=True)
    every = Orchestrator.objects.all()
    every.update(last_seen=now, seen_on=now.date())
    every.filter(pk=fleet.calm.pk).update(service_account=account)
    every.filter(pk=fleet.enrolling.pk).update(last_seen=None, seen_on=None)
    silent = now - timedelta(days=40)
    every.filter(pk=fleet.warned.pk).update(last_seen=silent, seen_on=silent.date())
    status, out, err = portalctl_here("--output", "json", "list", *filters, part=1000)
    assert (status, err) == (0, "")
    ids = {agent["AgentId"] for agent in json.loads(out)}
    assert ids == {str(getattr(fleet, name).pk) for name in found}


def test_it_explains_one_by_name(ctl: Ctl, fleet: rows.Fleet) -> None:
    told = ctl("explain", fleet.must_renew.client_machine)
    assert told.returncode == 0
    assert "A0100008" in told.stdout
    assert "Gets no session." in told.stdout


def test_it_asks_for_a_renewal_and_takes_it_back(ctl: Ctl, fleet: rows.Fleet) -> None:
    name = fleet.calm.client_machine
    assert ctl("renew", name, "--require").stdout == "1 of 1 done.\n"
    assert fresh(fleet.calm).flag == Reenrollment.REQUIRED
    assert ctl("renew", str(fleet.calm.pk), "--clear").returncode == 0
    assert fresh(fleet.calm).flag == Reenrollment.NONE


def test_many_need_a_yes_and_a_dry_run_asks_nobody(ctl: Ctl, fleet: rows.Fleet) -> None:
    which = ("renew", "--request", "--expiring-days", "400")
    now = timezone.now()
    expected = Orchestrator.objects.filter(
        status=2, certificate_not_after__range=(now, now + timedelta(days=400))
    )
    before = Orchestrator.objects.filter(flag=Reenrollment.REQUESTED).count()
    dry = ctl("--output", "json", *which, "--dry-run")
    foreseen = json.loads(dry.stdout)
    assert len(foreseen) == expected.count() > 1
    assert {row["Outcome"] for row in foreseen} >= {"change"}
    assert ctl(*which, "--dry-run").stdout.split()[:3] == ["NAME", "OUTCOME", "REASON"]
    assert Orchestrator.objects.filter(flag=Reenrollment.REQUESTED).count() == before
    refused = ctl(*which)
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    before = expected.filter(flag=Reenrollment.REQUESTED).count()
    assert ctl(*which, "--yes").stdout.splitlines()[-1].startswith(f"{expected.count()} of")
    assert expected.filter(flag=Reenrollment.REQUESTED).count() > before


def test_who_has_expired_cannot_renew_and_is_left_out_unless_named(
    ctl: Ctl, fleet: rows.Fleet
) -> None:
    few = ("--expiring-days", "1")
    asked = ctl("--output", "json", "renew", "--require", *few, "--dry-run")
    assert str(fleet.expired.pk) not in asked.stdout
    assert "1 left out" in asked.stderr
    assert "Reset is their way back" in asked.stderr
    done = ctl("renew", "--request", "--state", "expired", "--yes")
    assert (done.returncode, "nobody is meant" in done.stderr) == (0, True)
    assert fresh(fleet.expired).flag == Reenrollment.NONE
    named = ctl("renew", "--request", fleet.expired.client_machine)
    assert (named.stdout, named.stderr) == ("1 of 1 done.\n", "")
    # A request can be taken back from whoever has one.
    taken = ctl("renew", "--clear", "--state", "expired")
    assert (taken.stdout, fresh(fleet.expired).flag) == ("1 of 1 done.\n", Reenrollment.NONE)


@pytest.mark.parametrize("is_json", [False, True], ids=["as a table", "as JSON"])
def test_a_refusal_after_a_part_was_done_says_how_many_were(
    portalctl_here: Callable[..., tuple[int, str, str]], fleet: rows.Fleet, is_json: bool
) -> None:
    """Approve refuses a part whole if one of it cannot be approved."""
    assert fleet.waiting.status == Status.NEW
    ids = (str(fleet.waiting.pk), str(fleet.calm.pk))
    Orchestrator.objects.filter(pk=fleet.calm.pk).update(status=Status.NEW)
    output = ("--output", "json") if is_json else ()
    status, out, err = portalctl_here(*output, "approve", *ids, "--yes", part=1)
    assert status == 1
    if is_json:
        assert json.loads(out) == {"asked": 2, "done": 1, "failed": []}
    else:
        assert out == "1 of 2 done.\n"
    assert "1 were answered before; of the next 1 this was said: " in err
    assert fresh(fleet.waiting).status == Status.APPROVED


def test_a_dry_run_of_what_would_be_refused_whole_ends_as_it_would(
    ctl: Ctl, fleet: rows.Fleet
) -> None:
    assert ctl("reset", fleet.calm.client_machine).returncode == 0
    names = (fleet.calm.client_machine, fleet.waiting.client_machine)
    dry = ctl("approve", *names, "--dry-run")
    real = ctl("approve", *names, "--yes")
    assert (dry.returncode, dry.stderr) == (real.returncode, real.stderr)
    assert (dry.returncode, str(fleet.calm.pk) in dry.stderr) == (1, True)


def test_it_approves_disapproves_and_resets(ctl: Ctl, fleet: rows.Fleet) -> None:
    name = str(fleet.waiting.pk)
    for word, status in (
        ("approve", Status.APPROVED),
        ("disapprove", Status.DISAPPROVED),
        ("reset", Status.NEW),
    ):
        assert ctl(word, name).returncode == 0, word
        assert fresh(fleet.waiting).status == status


def test_a_job_is_watched_until_it_is_done(ctl: Ctl, fleet: rows.Fleet) -> None:
    number = ctl("renew", fleet.calm.client_machine, "--require", "--as-job").stdout.strip()
    early = ctl("job", "watch", number, "--timeout", "0")
    assert (early.returncode, "not ended" in early.stderr) == (1, True)
    work.run(int(number), now=timezone.now())
    ended = ctl("job", "watch", number)
    assert (ended.returncode, ended.stdout) == (
        0, "1 changed, 0 unchanged, 0 left out, 0 failed.\n",
    )  # fmt: skip
    assert "done, 1 of 1" in ended.stderr


def test_a_job_that_left_some_out_ends_with_1_and_names_them(ctl: Ctl, fleet: rows.Fleet) -> None:
    names = (fleet.calm.client_machine, fleet.waiting.client_machine)
    number = ctl("disapprove", *names, "--yes", "--as-job").stdout.strip()
    # It moves on between the call and the job's run.
    assert ctl("reset", fleet.calm.client_machine).returncode == 0
    work.run(int(number), now=timezone.now())
    ended = ctl("--output", "json", "job", "watch", number)
    assert ended.returncode == 1
    (left,) = json.loads(ended.stdout)["NotDone"]
    assert (left["AgentId"], left["Reason"]) == (str(fleet.calm.pk), "changed")


def test_tokens_are_made_with_a_password_shown_once_and_revoked(ctl: Ctl) -> None:
    who = {"PORTAL_TOKEN": "", "PORTAL_USER": "ada", "PORTAL_PASSWORD": rows.PASSWORD}
    create = ("token", "create", "nightly", "--days", "7", "--scope", "/agents/management/read/")
    made = ctl(*create, **who)
    assert made.returncode == 0, made.stderr
    text = made.stdout.strip()
    listed = ctl("token", "list", PORTAL_TOKEN=text)
    assert "nightly" in listed.stdout
    assert text not in listed.stdout
    refused = ctl("reset", "calm", PORTAL_TOKEN=text)
    assert refused.returncode != 0
    assert ctl("token", "revoke", "nightly").returncode == 0
    assert ctl("list", PORTAL_TOKEN=text).returncode == 1


FAILS: dict[str, tuple[tuple[str, ...], dict[str, str], int, str]] = {
    "a token that is none": (("list",), {"PORTAL_TOKEN": "x"}, 1, "unknown"),
    "no token": (("list",), {"PORTAL_TOKEN": ""}, 2, "PORTAL_TOKEN"),
    "nobody at the address": (
        ("list",), {"PORTAL_URL": "http://127.0.0.1:9"}, 3, "does not answer",
    ),
    **{
        f"an address that would get the token in clear, or is none: {url}": (
            ("list",), {"PORTAL_URL": url}, 2, "PORTAL_URL",
        )
        for url in (
            "file:///etc", "portal.example.com", "https://", "http://[::1", "http://192.0.2.1",
            "http://127.0.0.1@portal.invalid", "http://localhost.portal.invalid", "http://0.0.0.0",
        )
    },
    "a name that nobody has": (("explain", "nobody"), {}, 2, "No orchestrator"),
    "a query that is none": (("list", "--query", "Name -eq x"), {}, 1, "("),
    "names and a filter": (("reset", "a", "--state", "ok"), {}, 2, "one of the two"),
    "a job that is not there": (("job", "watch", "404404"), {}, 1, "job_unknown"),
    "a token that nobody has": (("token", "revoke", "none"), {}, 2, "no token"),
    "a token without a password": (("token", "create", "x"), {}, 2, "PORTAL_PASSWORD"),
    "a wrong password": (
        ("token", "create", "x"), {"PORTAL_USER": "ada", "PORTAL_PASSWORD": "x"}, 1, "sign_in",
    ),
    "days beyond all dates": (("list", "--expiring-days", "99999999999"), {}, 2, "1 to 36500"),
    "a code that is none": (("list", "--last-answer", "expired"), {}, 2, "such as A0100008"),
    "no rows at all": (("list", "--most", "0"), {}, 2, "a whole number"),
    "an unknown command": (("delete",), {}, 2, "invalid choice"),
    "a token with a line break": (("list",), {"PORTAL_TOKEN": "a\nb"}, 2, "character"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "environment", "status", "text"), FAILS.values(), ids=FAILS)
def test_it_ends_with_a_status_and_a_sentence_for(
    ctl: Ctl, arguments: tuple[str, ...], environment: dict[str, str], status: int, text: str
) -> None:
    ended = ctl(*arguments, **environment)
    assert (ended.returncode, ended.stdout) == (status, "")
    assert text in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_answer_that_cannot_be_written_is_told(ctl: Ctl) -> None:
    for arguments in ("list",), ("completion", "bash"):
        with Path("/dev/full").open("w") as full:
            ended = ctl(*arguments, stdout=full)
        assert ended.returncode == 1
        assert "cannot be written" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


def test_where_nobody_is_meant_no_job_is_made_and_that_is_said(ctl: Ctl) -> None:
    ended = ctl("renew", "--request", "--label", "region=nowhere", "--yes", "--as-job")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "nobody" in ended.stderr
    assert not BulkJob.objects.exists()


def test_bash_completes_commands_and_flags(ctl: Ctl) -> None:
    words = ctl("completion", "bash").stdout
    for typed, expected in (
        ("renew --re", ["--request", "--require"]),
        ("job wa", ["watch"]),
        ("token create --sc", ["--scope"]),
        ("to", ["token"]),
    ):
        ask = (
            f"COMP_WORDS=(portalctl {typed}); COMP_CWORD={len(typed.split())}; _portalctl; "
            'echo "${COMPREPLY[@]}"'
        )
        said = subprocess.run(
            ["bash", "-c", f"{words}\n{ask}"], capture_output=True, text=True, check=True
        )
        assert said.stdout.split() == expected


def test_a_foreign_name_sends_nothing_to_the_terminal() -> None:
    rows_of_names = [{"name": "web\x1b[31m01\u202e"}]
    assert as_table(rows_of_names, [("NAME", lambda row: row["name"])]) == "NAME\nweb?[31m01?"


@contextmanager
def cutting_off(url: str, *, replies: int) -> Iterator[tuple[str, list[str]]]:
    """A way to the portal on which the first replies to writes get lost; the keys that were sent.

    What is asked arrives: only who asked does not learn what came of it.
    """
    keys: list[str] = []
    target = urlsplit(url)

    class Way(BaseHTTPRequestHandler):
        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            onward = HTTPConnection(str(target.hostname), target.port)
            onward.request(self.command, self.path, body, dict(self.headers))
            answer = onward.getresponse()
            told = answer.read()
            if self.command != "GET":
                keys.append(self.headers["Idempotency-Key"])
                if len(keys) <= replies:
                    self.close_connection = True
                    return
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def do_GET(self) -> None:
            self._pass()

        def do_POST(self) -> None:
            self._pass()

        def log_message(self, *_: object) -> None:
            """Nothing is told of what passes."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Way)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", keys
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_was_cut_off_is_sent_again_and_done_once(
    ctl: Ctl, fleet: rows.Fleet, live_server: Any
) -> None:
    name = fleet.calm.client_machine
    with cutting_off(live_server.url, replies=1) as (url, keys):
        told = ctl("renew", name, "--require", "--as-job", PORTAL_URL=url)
        assert (told.returncode, told.stderr) == (0, "")
        assert ctl("renew", name, "--clear", PORTAL_URL=url).returncode == 0
    assert told.stdout == f"{BulkJob.objects.get().pk}\n"
    first, again, other = keys
    assert first == again
    assert other not in (None, first)


def test_what_is_cut_off_each_time_is_told_and_was_done_once(
    ctl: Ctl, fleet: rows.Fleet, live_server: Any
) -> None:
    with cutting_off(live_server.url, replies=9) as (url, keys):
        told = ctl("renew", fleet.calm.client_machine, "--require", "--as-job", PORTAL_URL=url)
    assert told.returncode == 3
    assert "does not answer" in told.stderr
    assert (len(keys), len(set(keys))) == (3, 1)
    assert BulkJob.objects.count() == 1
